// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure Key Vault and Managed HSM: settings and operations
 *
 * The vault holds an RSA key, to which the kernel encrypts a clear share, and
 * unwraps that (RSA-OAEP with SHA-256).  With a symmetric key, which Managed HSM
 * has, it also does the wrapping (A256KW, which is RFC 3394).  An envelope is bound
 * to one version of the key by its public key's fingerprint, or its name's, and
 * goes on working when the key is rotated, as long as that version is enabled.
 *
 * Where a credential may go is said by the settings and the uri, never by what
 * a server sends.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "../log.h"
#include "azure.h"
#include "azure_run.h"
#include "json.h"

#define DEFAULT_AUTHORITY "https://login.microsoftonline.com"
#define SKEW_TOLD	300	/* seconds */

struct azure azure;

/* What the servers' clock said last, and when, by one that nobody sets. */
static time_t heard_date, heard_at;

static time_t since_boot(void)
{
	struct timespec now = { .tv_sec = 0 };

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

time_t azure_now(void)
{
	return heard_date ? heard_date + since_boot() - heard_at : time(NULL);
}

long azure_skew(void)
{
	return azure_now() - time(NULL);
}

/*
 * Only what came over TLS, whole: anybody can answer for the cloud's own address,
 * or on the way before there is TLS.
 */
void azure_heard(const struct http_reply *reply)
{
	static bool told;

	if (!reply->status || !reply->date)
		return;
	heard_date = reply->date;
	heard_at = since_boot();
	if (labs(azure_skew()) <= SKEW_TOLD) {
		told = false;
	} else if (!told) {
		log_warning("this machine's clock is %ld s off from Azure's; set it",
			    -azure_skew());
		told = true;
	}
}

void azure_say_no(const char *format, ...)
{
	char text[450];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (azure.copy)
		vault_say(false, "%s is away, and what its copy says is not its own no: %s",
			  azure.host, text);
	else
		vault_say(false, "%s", text);
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
	azure_release_forget();
	azure.copy = 0;
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

/* Each begins here.  NAME[/VERSION], or "": what the uri says. */
static int key_ref(const char *key, struct azure_ref *ref)
{
	size_t len = strcspn(key, "/");

	azure.copy = 0;
	*ref = (struct azure_ref){ .name = "" };
	if (!*key) {
		copy_text(ref->name, sizeof(ref->name), azure.key);
		copy_text(ref->version, sizeof(ref->version), azure.version);
		return 0;
	}
	if (len < sizeof(ref->name))
		memcpy(ref->name, key, len);
	if (!azure_word_ok(ref->name, "-") ||
	    (key[len] && (!azure_word_ok(key + len + 1, "") ||
			  !copy_text(ref->version, sizeof(ref->version),
				     key + len + 1))))
		return vault_fail_here("no key in Azure can have the name \"%.60s\"",
				       key);
	/* The uri's own key, as the uri has it. */
	if (!key[len] && !strcmp(ref->name, azure.key))
		copy_text(ref->version, sizeof(ref->version), azure.version);
	return 0;
}

/* Whether that was the identity of a symmetric key. */
static bool gave_identity;

static int give_spki(const struct azure_key *k, uint8_t *spki, size_t *len)
{
	const uint8_t *wanted = vault_wanted();

	/* A sealed one shows what it is to the kernel alone. */
	if (azure.method == AZURE_SEALED) {
		*len = 0;
		return 0;
	}
	/* Of the vault itself, that is seen to by who asks. */
	if (azure.copy && wanted &&
	    memcmp(k->fingerprint, wanted, FINGERPRINT_SIZE))
		return azure_no("key %s has no such version as the envelope names",
				k->name);
	*len = k->spki_len;
	memcpy(spki, k->spki, *len);
	gave_identity = *len && k->symmetric;
	return 0;
}

/* Who looks at it wants to know whether the credential is good, too. */
static int public_key(const char *key, bool fresh, uint8_t *spki, size_t *len)
{
	const struct azure_key *k;
	struct azure_ref ref;
	int err = key_ref(key, &ref);

	if (fresh) {
		azure_forget_token();
		azure_release_forget();
	}
	if (!err)
		err = azure_key_find(&ref, fresh, &k);
	return err ?: give_spki(k, spki, len);
}

static const char *method(const char *key)
{
	(void)key;
	return azure.method == AZURE_SEALED ? "sealed" : "clear";
}

static bool symmetric(const char *key)
{
	(void)key;
	return gave_identity;
}

/* What it made of a value: so many bytes, by the version that was asked. */
static int take_value(const json_t *answer, const struct azure_key *key,
		      uint8_t *out, ssize_t size)
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
	n = need_bytes(answer, "value", BASE64_URL, out, size);
	if (n >= 0 && n != size)
		return vault_fail(-EKEYREJECTED, "what it gave has %zd bytes, not %zd",
				  n, size);
	return n < 0 ? n : 0;
}

/* The newest version, or the one that is named. */
static int release(const char *key, const struct release_request *request,
		   struct release *out)
{
	const struct azure_key *k;
	struct azure_ref ref;
	int err = key_ref(key, &ref);

	if (!err && azure.method != AZURE_SEALED)
		err = vault_fail_here("its keys are for clear shares; for sealed ones set method = sealed");
	if (!err)
		err = azure_key_find(&ref, false, &k);
	if (!err)
		err = azure_release(k, request, out);
	if (!err && !*ref.version)
		azure_release_note(k);
	return err;
}

/* The operation wrapkey or unwrapkey, with the algorithm that the key has. */
static int operate(const struct azure_key *k, const char *operation,
		   const uint8_t *in, size_t len, uint8_t *out, ssize_t size)
{
	char path[400], value[BASE64_SIZE(CIPHERTEXT_MAX)];
	struct azure_answer answer = { .status = 0 };
	json_t *body;
	int err;

	base64_encode(BASE64_URL, in, len, value);
	snprintf(path, sizeof(path), "/keys/%s/%s/%s?api-version=" AZURE_API,
		 k->name, k->version, operation);
	body = json_pack("{s:s, s:s}", "alg", k->symmetric ? "A256KW" :
			 "RSA-OAEP-256", "value", value);
	explicit_bzero(value, sizeof(value));
	err = body ? azure_call(path, body, &answer) :
	      vault_fail(-EAGAIN, "out of memory");
	if (!err)
		err = take_value(answer.json, k, out, size);
	azure_answer_free(&answer);
	json_decref(body);
	return err;
}

static int find_for_use(const char *key, const struct azure_key **k)
{
	struct azure_ref ref;

	return key_ref(key, &ref) ?: azure_key_find(&ref, false, k);
}

static int unwrap(const char *key, const uint8_t *ciphertext, size_t len,
		  uint8_t secret[SHARE_SECRET_SIZE])
{
	const struct azure_key *k;
	int err = find_for_use(key, &k);

	if (!err && k->symmetric && len != SHARE_WRAPPED_SIZE)
		err = vault_fail(-EKEYREJECTED, "ciphertext has %zu bytes, and key %s makes %d",
				 len, k->name, SHARE_WRAPPED_SIZE);
	return err ?: operate(k, "unwrapkey", ciphertext, len, secret,
			      SHARE_SECRET_SIZE);
}

/* Only for a new envelope: afterwards the key need not be allowed to wrap. */
static int wrap(const char *key, const uint8_t secret[SHARE_SECRET_SIZE],
		uint8_t wrapped[SHARE_WRAPPED_SIZE])
{
	const struct azure_key *k;
	int err = find_for_use(key, &k);

	if (!err && !k->wraps)
		err = azure_no("version %s of key %s may not wrap; for a new share it needs the operation wrapKey",
				 k->version, k->name);
	return err ?: operate(k, "wrapkey", secret, SHARE_SECRET_SIZE, wrapped,
			      SHARE_WRAPPED_SIZE);
}

/* A value of our own: the right to read a key says nothing of that to use it. */
static int try_key(const struct azure_key *k)
{
	uint8_t value[SHARE_SECRET_SIZE], back[SHARE_SECRET_SIZE];
	uint8_t in[CIPHERTEXT_MAX];
	size_t len = 0;
	int err;

	/* Which needs the right to wrap, too. */
	if (k->symmetric)
		return 0;
	if (RAND_bytes(value, sizeof(value)) != 1)
		return vault_fail(-EAGAIN, "OpenSSL has no random numbers");
	err = azure_try_encrypt(k, value, in, &len);
	if (!err)
		err = operate(k, "unwrapkey", in, len, back, sizeof(back));
	if (!err && memcmp(value, back, sizeof(value)))
		err = vault_fail(-EKEYREJECTED, "it unwraps to another value");
	explicit_bzero(back, sizeof(back));
	return err;
}

/*
 * A sealed key is not tried: each release is a mark in the vault's log that a
 * person should have to explain.
 */
static int poll(const char *key, uint8_t *spki, size_t *len)
{
	const struct azure_key *k;
	struct azure_ref ref;
	int err = key_ref(key, &ref);

	*len = 0;
	if (!err && azure.method == AZURE_SEALED)
		return azure_release_look(&ref);
	if (!err)
		err = azure_key_find(&ref, true, &k);
	if (!err)
		err = give_spki(k, spki, len);
	/* Another key than the envelope's is told by who asks. */
	if (!err && (!vault_wanted() || !memcmp(k->fingerprint, vault_wanted(),
						FINGERPRINT_SIZE)))
		err = try_key(k);
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
	"attestation-file", "attestation-command", "attestation-endpoint",
	"release-ca-file", NULL
};

static const char *const calls[] = { HTTP_CALLS, NULL };

const struct vault_ops vault_ops = {
	.scheme		= "azure",
	.settings	= settings,
	.calls		= calls,
	.prepare	= azure_run_prepare,
	.configure	= configure,
	.public_key	= public_key,
	.method		= method,
	.poll		= poll,
	.symmetric	= symmetric,
	.unwrap		= unwrap,
	.wrap		= wrap,
	.release	= release,
	.shows_secret	= azure_shows_secret,
	.rest		= http_rest,
	.close		= close_all,
};
