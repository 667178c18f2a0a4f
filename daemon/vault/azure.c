// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure Key Vault and Managed HSM: settings and operations
 *
 * The vault holds an RSA key, to which the kernel encrypts a clear share, and
 * unwraps that (RSA-OAEP with SHA-256).  An envelope is bound to one version of
 * the key by its public key's fingerprint, and goes on working when the key is
 * rotated, as long as that version is enabled.
 *
 * Where a credential may go is said by the settings and the uri, never by what
 * a server sends.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "azure.h"
#include "json.h"

#define DEFAULT_AUTHORITY "https://login.microsoftonline.com"
#define SKEW_TOLD	300	/* seconds */

struct azure azure;

time_t azure_now(void)
{
	return time(NULL) + azure.skew;
}

/* Only what came over TLS: anybody can answer for the cloud's own address. */
void azure_heard(const struct http_reply *reply)
{
	static bool told;

	if (!reply->date)
		return;
	azure.skew = reply->date - time(NULL);
	if (labs(azure.skew) <= SKEW_TOLD) {
		told = false;
	} else if (!told) {
		log_warning("this machine's clock is %ld s off from Azure's; set it",
			    -azure.skew);
		told = true;
	}
}

/* --- settings --- */

/* azure:https://HOST/keys/KEY[/VERSION] */
static int parse_uri(const char *uri, char *base, size_t size)
{
	const char *url = uri + strlen("azure:"), *path, *rest;
	char copy[2 * AZURE_NAME_SIZE + 8], *version;

	azure.key[0] = azure.version[0] = 0;
	if (!http_host(url, azure.host, sizeof(azure.host)))
		goto bad;
	path = strchr(url + strlen("https://"), '/');
	/* The vault's name, and a domain for which tokens are. */
	rest = strchr(azure.host, '.');
	if (!path || !rest || !strchr(rest + 1, '.') || rest[1] == '.' ||
	    strncmp(path, "/keys/", 6) ||
	    !copy_text(copy, sizeof(copy), path + 6) ||
	    snprintf(base, size, "%.*s", (int)(path - url), url) >= (int)size)
		goto bad;
	version = strchr(copy, '/');
	if (version)
		*version++ = 0;
	if (!azure_word_ok(copy, "-") || (version && !azure_word_ok(version, "")) ||
	    !copy_text(azure.key, sizeof(azure.key), copy) ||
	    !copy_text(azure.version, sizeof(azure.version), version ?: ""))
		goto bad;
	snprintf(azure.resource, sizeof(azure.resource), "https://%.240s",
		 rest + 1);
	return 0;
bad:
	return vault_fail_here("its uri is not azure:https://NAME.vault.azure.net/keys/KEY[/VERSION]: %.200s",
			       uri);
}

/* Other hosts of the same cloud, after the uri's own. */
static int parse_endpoints(const char *base)
{
	const char *more = vault_setting("endpoints"), *rest;
	char host[sizeof(azure.host)], *list;
	int err;
	size_t i;

	if (asprintf(&list, "%s %s", base, more ?: "") < 0)
		return vault_fail(-EAGAIN, "out of memory");
	err = http_endpoints_parse(&azure.vault, list);
	free(list);
	for (i = 0; !err && i < azure.vault.n; i++) {
		if (!http_host(azure.vault.url[i], host, sizeof(host)))
			host[0] = 0;
		rest = strchr(host, '.');
		if (!rest || strcmp(rest + 1, azure.resource + 8))
			err = vault_fail_here("its endpoint %s is not under %s, which its tokens are for",
					      azure.vault.url[i],
					      azure.resource + 8);
	}
	return err;
}

static int parse_names(void)
{
	const char *authority = vault_setting("authority");
	const char *tenant = vault_setting("tenant");
	const char *method = vault_setting("method");
	int err;

	azure.client_id = vault_setting("client-id");
	if ((tenant && !azure_tenant_ok(tenant)) ||
	    !copy_text(azure.tenant, sizeof(azure.tenant), tenant ?: ""))
		return vault_fail_here("its tenant is no id and no domain: %.100s",
				       tenant);
	if (azure.client_id && (!azure_word_ok(azure.client_id, "-") ||
				strlen(azure.client_id) >= AZURE_NAME_SIZE))
		return vault_fail_here("its client-id is no id: %.100s",
				       azure.client_id);
	azure.method = method && !strcmp(method, "sealed") ? AZURE_SEALED :
		       AZURE_CLEAR;
	if (method && !azure.method && strcmp(method, "clear"))
		return vault_fail_here("its method is clear or sealed, not %.40s",
				       method);
	err = http_endpoints_parse(&azure.authority,
				   authority ?: DEFAULT_AUTHORITY);
	if (!err && azure.authority.n != 1)
		err = vault_fail_here("its authority is one https://HOST");
	return err;
}

static int configure(void)
{
	char base[300];
	int err;

	azure_forget_token();
	azure_key_forget();
	err = http_configure();
	if (!err)
		err = parse_uri(vault_setting("uri"), base, sizeof(base));
	if (!err)
		err = parse_endpoints(base);
	if (!err)
		err = parse_names();
	if (!err)
		err = azure_credential_configure();
	if (!err)
		err = azure_release_configure();
	return err;
}

/* --- operations --- */

static int key_name(const char *key, const char **name)
{
	*name = *key ? key : azure.key;
	if (azure_word_ok(*name, "-") && strlen(*name) < AZURE_NAME_SIZE)
		return 0;
	return vault_fail_here("no key in Azure can have the name \"%.60s\"",
			       *name);
}

static int give_spki(const char *key, bool fresh, uint8_t *spki, size_t *len)
{
	const struct azure_key *k;
	const char *name;
	int err = key_name(key, &name);

	if (!err)
		err = azure_key_find(name, fresh, &k);
	if (!err)
		err = azure_key_check(k);
	if (err)
		return err;
	/* A sealed one shows what it is to the kernel alone. */
	*len = azure.method == AZURE_SEALED ? 0 : k->spki_len;
	memcpy(spki, k->spki, *len);
	return 0;
}

/* Who looks at it wants to know whether the credential is good, too. */
static int public_key(const char *key, bool fresh, uint8_t *spki, size_t *len)
{
	if (fresh)
		azure_forget_token();
	return give_spki(key, fresh, spki, len);
}

static int poll(const char *key, uint8_t *spki, size_t *len)
{
	return give_spki(key, true, spki, len);
}

static const char *method(const char *key)
{
	(void)key;
	return azure.method == AZURE_SEALED ? "sealed" : "clear";
}

static int take_secret(const json_t *answer, const struct azure_key *key,
		       uint8_t secret[SHARE_SECRET_SIZE])
{
	char version[AZURE_NAME_SIZE];
	const char *kid;
	ssize_t n;
	int err = need_string(answer, "kid", &kid) ?:
		  azure_kid_check(kid, key->name, version);

	if (err)
		return err;
	if (strcmp(version, key->version))
		return vault_fail(-EKEYREJECTED, "asked version %s, version %s answered",
				  key->version, version);
	n = need_bytes(answer, "value", BASE64_URL, secret, SHARE_SECRET_SIZE);
	if (n >= 0 && n != SHARE_SECRET_SIZE)
		return vault_fail(-EKEYREJECTED, "what it unwrapped has %zd bytes, not %d",
				  n, SHARE_SECRET_SIZE);
	return n < 0 ? n : 0;
}

/* The newest version, or the uri's. */
static int release(const char *key, const struct release_request *request,
		   struct release *out)
{
	const struct azure_key *k;
	const char *name;
	int err = key_name(key, &name);

	if (!err && azure.method != AZURE_SEALED)
		err = vault_fail_here("its keys are for clear shares; for sealed ones set method = sealed");
	if (!err)
		err = azure_key_find(name, false, &k);
	if (!err)
		err = azure_key_check(k);
	return err ?: azure_release(k, request, out);
}

static int unwrap(const char *key, const uint8_t *ciphertext, size_t len,
		  uint8_t secret[SHARE_SECRET_SIZE])
{
	char path[400], value[BASE64_SIZE(CIPHERTEXT_MAX)];
	struct azure_answer answer = { .status = 0 };
	const struct azure_key *k;
	const char *name;
	json_t *body;
	int err = key_name(key, &name);

	if (!err)
		err = azure_key_find(name, false, &k);
	if (!err)
		err = azure_key_check(k);
	if (err)
		return err;
	base64_encode(BASE64_URL, ciphertext, len, value);
	snprintf(path, sizeof(path), "/keys/%s/%s/unwrapkey?api-version="
		 AZURE_API, k->name, k->version);
	body = json_pack("{s:s, s:s}", "alg", "RSA-OAEP-256", "value", value);
	err = body ? azure_call(path, body, &answer) :
	      vault_fail(-EAGAIN, "out of memory");
	if (!err)
		err = take_secret(answer.json, k, secret);
	azure_answer_free(&answer);
	json_decref(body);
	return err;
}

static void close_all(void)
{
	azure_forget_token();
}

static const char *const settings[] = {
	"uri", "environment", "endpoints", "ca-file", "authority", "tenant",
	"client-id", "credential", "client-secret-file",
	"client-certificate-file", "federated-token-file", "method",
	"attestation-file", "release-ca-file", NULL
};

static const char *const calls[] = { HTTP_CALLS, NULL };

const struct vault_ops vault_ops = {
	.scheme		= "azure",
	.settings	= settings,
	.calls		= calls,
	.configure	= configure,
	.public_key	= public_key,
	.method		= method,
	.poll		= poll,
	.unwrap		= unwrap,
	.release	= release,
	.rest		= http_rest,
	.close		= close_all,
};
