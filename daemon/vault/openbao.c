// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that are OpenBao servers, by the transit engine
 *
 * With method = clear an RSA key decrypts our share; the daemon sees it.  With
 * method = sealed the server wraps a symmetric key for the kernel's transport
 * key, which an operator has imported under the name of this host, and no one on
 * the way can read it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openbao.h"

static struct bao bao;

static bool is_sealed(void)
{
	return *bao.conf.host_key;
}

static void forget(void)
{
	bao.key = (struct bao_key){ .version = 0 };
}

static int give_spki(uint8_t *spki, size_t *len)
{
	memcpy(spki, bao.key.spki, bao.key.spki_len);
	*len = bao.key.spki_len;
	return 0;
}

/* Envelopes with sealed shares name the released key, which we cannot see. */
static const uint8_t *wanted(void)
{
	return is_sealed() ? NULL : vault_wanted();
}

static int bao_public_key(const char *key, bool fresh, uint8_t *spki,
			  size_t *len)
{
	int err;

	if (fresh)
		bao.credential.n_refused = 0;
	err = bao_key_find(&bao, key, wanted(), fresh);
	return err ?: give_spki(spki, len);
}

static const char *bao_method(const char *key)
{
	(void)key;
	return is_sealed() ? "sealed" : "clear";
}

/* Reading a key is permitted apart from its use: only to use it tells. */
static int bao_poll(const char *key, uint8_t *spki, size_t *len)
{
	struct release out = { .len = 0 };
	int err = bao_key_find(&bao, key, wanted(), true);

	if (!err)
		err = give_spki(spki, len);
	if (err)
		return err;
	if (!is_sealed())
		return bao_key_try(&bao);
	/* Of a host key that is gone the server says it as of a fault. */
	err = bao_host_key_check(&bao, NULL);
	return err ?: bao_key_export(&bao, &out);
}

static int bao_unwrap(const char *key, const uint8_t *ciphertext, size_t len,
		      uint8_t secret[SHARE_SECRET_SIZE])
{
	int err = -ENOKEY;

	if (is_sealed())
		return vault_fail_here("its method is sealed, and this is a clear share");
	err = bao_key_find(&bao, key, wanted(), false);
	return err ?: bao_key_decrypt(&bao, ciphertext, len, secret);
}

static int bao_release(const char *key, const struct release_request *request,
		       struct release *out)
{
	int err;

	if (!is_sealed())
		return vault_fail_here("its method is clear, and this is a sealed share");
	err = bao_host_key_check(&bao, request);
	if (!err)
		err = bao_key_find(&bao, key, NULL, true);
	return err ?: bao_key_export(&bao, out);
}

static const char *get_setting(void *arg, const char *name)
{
	(void)arg;
	return vault_setting(name);
}

/* The URI's server first, then those of "endpoints". */
static int read_endpoints(void)
{
	const char *more = vault_setting("endpoints");
	char *list;
	int err;

	if (asprintf(&list, "%s %s", bao.conf.server, more ?: "") < 0)
		return vault_fail(-EAGAIN, "out of memory");
	err = http_endpoints_parse(&bao.endpoints, list);
	free(list);
	return err;
}

static int bao_configure(void)
{
	const char *wrong = openbao_conf_read(get_setting, NULL, &bao.conf);
	int err;

	if (wrong)
		return vault_fail_here("%s", wrong);
	forget();
	err = http_configure();
	if (!err)
		err = read_endpoints();
	return err ?: bao_auth_configure(&bao);
}

static void bao_close(void)
{
	bao_auth_close(&bao);
	http_endpoints_free(&bao.endpoints);
}

static bool bao_shows(const char *text)
{
	return bao_shows_secret(&bao, text);
}

static const char *const bao_settings[] = {
	"uri", "method", "host-key", "key-version", "namespace", "endpoints",
	"ca-file", "token-file", "role-id", "secret-id-file", "auth-mount",
	"environment", NULL
};

static const char *const bao_calls[] = { HTTP_CALLS, NULL };

const struct vault_ops vault_ops = {
	.scheme		= OPENBAO_SCHEME,
	.settings	= bao_settings,
	.calls		= bao_calls,
	.configure	= bao_configure,
	.public_key	= bao_public_key,
	.method		= bao_method,
	.poll		= bao_poll,
	.unwrap		= bao_unwrap,
	.release	= bao_release,
	.shows_secret	= bao_shows,
	.rest		= http_rest,
	.close		= bao_close,
};
