// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Azure: how tokens are had
 *
 * By a secret, by a certificate, by the machine's own identity, which its cloud
 * vouches for, or by a token that a federated issuer leaves in a file.  The files
 * are read for each token: they may change at any time.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "azure.h"
#include "azure_assertion.h"
#include "json.h"

#define FILE_MAX	(32 * 1024)
#define FORM_MAX	(128 * 1024)
#define ASSERTION_TYPE	"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
/* The assertion is from a time that is not the authority's. */
#define CODE_WRONG_TIME	700024

/*
 * What Entra says when a person has to act, by the numbers of its AADSTS errors.
 * The words beside them do not tell: an outage of the issuer of a federated token
 * is an "invalid_request" (50166), and gateways on the way say "error", too.
 */
static const struct {
	json_int_t code;
	bool here;		/* it is about what this machine asks */
} final[] = {
	{ 7000215, false },	/* no such secret */
	{ 7000222, false },	/* the secret has expired */
	{ 700016, false },	/* no such application in the directory */
	{ 700027, false },	/* no such certificate */
	{ 7000229, false },	/* the application has no identity there */
	{ 7000112, false },	/* the application is disabled */
	{ 70021, false },	/* no federated identity is like this one, */
	{ 700211, false },	/* by its issuer, */
	{ 700212, false },	/* its audience, */
	{ 700213, false },	/* its subject, */
	{ 7002137, false },
	{ 7002138, false },	/* in upper or lower case */
	{ CODE_WRONG_TIME, true },
	{ 700021, true },	/* an assertion of another application */
	{ 700022, true },	/* several values where there is one */
	{ 700023, true },	/* an assertion for somebody else */
	{ 700222, true },	/* its own tokens are no federated ones */
	{ 7000216, true },	/* a parameter is missing */
	{ 7000218, true },
	{ 900144, true },
	{ 90002, true },	/* no such tenant */
	{ 900023, true },	/* that is no name of a tenant */
	{ 70011, true },	/* no such scope */
	{ 500011, true },	/* no such resource there */
};

static const struct {
	const char *word, *setting;	/* the file's, or NULL */
} kinds[] = {
	[AZURE_SECRET] = { "secret", "client-secret-file" },
	[AZURE_CERTIFICATE] = { "certificate", "client-certificate-file" },
	[AZURE_MANAGED] = { "managed-identity", NULL },
	[AZURE_WORKLOAD] = { "workload-identity", "federated-token-file" },
};

/* What we prove ourselves with, until the answer has been read. */
static struct secret proof;

int azure_credential_configure(void)
{
	const char *word = vault_setting("credential");
	size_t i;

	if (!word)
		return vault_fail_here("it has no credential: secret, certificate, managed-identity or workload-identity");
	for (i = 0; i < ARRAY_SIZE(kinds) && strcmp(word, kinds[i].word); i++)
		;
	if (i == ARRAY_SIZE(kinds))
		return vault_fail_here("its credential is secret, certificate, managed-identity or workload-identity, not %.40s",
				       word);
	azure.credential = i;
	azure.file = NULL;
	if (!kinds[i].setting)
		return 0;
	azure.file = vault_setting(kinds[i].setting);
	if (!azure.file || *azure.file != '/')
		return vault_fail_here("credential = %s needs %s with a full path",
				       word, kinds[i].setting);
	if (!azure.client_id)
		return vault_fail_here("credential = %s needs client-id", word);
	return 0;
}

/* Is it inside of this text? */
bool azure_shows_proof(const char *text)
{
	return proof.data && strstr(text, (char *)proof.data);
}

int azure_file_read(const char *path, struct secret *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = -1;
	int err = 0;

	if (fd < 0 || fstat(fd, &st))
		err = vault_fail_here("cannot read %s: %s", path,
				      strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err = vault_fail_here("%s is not a file", path);
	else if (st.st_mode & 07)
		err = vault_fail_here("everybody may read or change %s; try: chmod o= %s",
				      path, path);
	else if (secret_alloc(out, FILE_MAX + 2))
		err = vault_fail(-EAGAIN, "cannot lock memory for %s", path);
	if (err)
		goto out;
	n = read(fd, out->data, FILE_MAX + 1);
	while (n > 0 && n <= FILE_MAX && strchr("\r\n", out->data[n - 1]))
		out->data[--n] = 0;
	if (n <= 0 || n > FILE_MAX || memchr(out->data, 0, n)) {
		err = vault_fail_here("%s is empty, too long or no text", path);
		secret_free(out);
	} else {
		out->len = n;
	}
out:
	if (fd >= 0)
		close(fd);
	return err;
}

/* --- the request --- */

static int form_start(struct secret *form)
{
	if (secret_alloc(form, FORM_MAX))
		return vault_fail(-EAGAIN, "cannot lock memory for a request");
	form->len = 0;
	return 0;
}

/* There is room: every value is bounded. */
static void form_add(struct secret *form, const char *name, const char *value)
{
	char *p = (char *)form->data + form->len;

	p += sprintf(p, "%s%s=", form->len ? "&" : "", name);
	http_escape(p, value);
	form->len = p + strlen(p) - (char *)form->data;
}

static int fill_form(struct secret *form, const char *url)
{
	char scope[sizeof(azure.resource) + 10];
	struct secret file = { 0 };
	int err = azure_file_read(azure.file, &file);

	if (err)
		return err;
	secret_free(&proof);
	if (azure.credential == AZURE_CERTIFICATE) {
		err = assertion_make(&file, azure.file, azure.client_id, url,
				     azure_now(), &proof);
		secret_free(&file);
	} else {
		proof = file;
	}
	if (err)
		return err;
	snprintf(scope, sizeof(scope), "%s/.default", azure.resource);
	form_add(form, "client_id", azure.client_id);
	form_add(form, "grant_type", "client_credentials");
	form_add(form, "scope", scope);
	if (azure.credential != AZURE_SECRET)
		form_add(form, "client_assertion_type", ASSERTION_TYPE);
	form_add(form, azure.credential == AZURE_SECRET ? "client_secret" :
		 "client_assertion", (char *)proof.data);
	return 0;
}

/* --- the answer --- */

/* AAD gives a number, the cloud's own address a string of digits. */
static int take_lifetime(const json_t *json, json_int_t *lifetime)
{
	const char *text = json_string_value(json_object_get(json,
							     "expires_in"));
	int err = 0;

	if (text && *text && strlen(text) < 10 &&
	    strspn(text, "0123456789") == strlen(text))
		*lifetime = atol(text);
	else
		err = need_integer(json, "expires_in", lifetime);
	if (!err && *lifetime <= 0)
		err = vault_fail(-EKEYREJECTED, "it gave a token that has expired");
	return err;
}

static int take_token(const struct http_reply *reply, struct secret *token,
		      json_int_t *lifetime)
{
	const char *text = "", *type = "";
	json_t *json = NULL;
	int err;

	err = body_parse(&reply->body, &json) ?:
	      need_string(json, "token_type", &type) ?:
	      need_string(json, "access_token", &text) ?:
	      take_lifetime(json, lifetime);
	if (!err && strcasecmp(type, "Bearer"))
		err = vault_fail(-EKEYREJECTED, "it gave a token of type %.20s, not Bearer",
				 type);
	/* It becomes part of a header. */
	if (!err && (strlen(text) > AZURE_TOKEN_MAX ||
		     !azure_word_ok(text, "-._~+/=")))
		err = vault_fail(-EKEYREJECTED, "it gave a token that is none");
	if (!err && secret_alloc(token, strlen(text) + 1))
		err = vault_fail(-EAGAIN, "cannot lock memory for a token");
	if (!err)
		memcpy(token->data, text, strlen(text));
	json_decref(json);
	return err;
}

struct oauth_error {
	const char *word, *text;
	json_int_t code;		/* of AADSTS, or 0 */
};

static void read_error(const json_t *json, struct oauth_error *e)
{
	json_t *codes = json_object_get(json, "error_codes");

	e->word = json_string_value(json_object_get(json, "error")) ?: "";
	e->text = json_string_value(json_object_get(json, "error_description")) ?:
		  "";
	e->code = json_integer_value(json_array_get(codes, 0));
	if (azure_shows_proof(e->word) || azure_shows_proof(e->text)) {
		e->word = "error";
		e->text = "its text is left out: it shows our secret";
	}
}

/* -ENOKEY or -EAGAIN: what is not known to be a no may be an outage. */
static int judge_no(long status, const struct oauth_error *e, bool *here)
{
	size_t i;

	/* What plain HTTP says is nobody's word. */
	*here = azure.credential == AZURE_MANAGED && *e->word &&
		strcmp(e->word, "temporarily_unavailable") &&
		strcmp(e->word, "server_error");
	if (*here)
		return -ENOKEY;
	if (azure.credential == AZURE_MANAGED ||
	    (status != 400 && status != 401))
		return -EAGAIN;
	for (i = 0; i < ARRAY_SIZE(final) && final[i].code != e->code; i++)
		;
	if (i == ARRAY_SIZE(final))
		return -EAGAIN;
	*here = final[i].here;
	return -ENOKEY;
}

/* Its words on a token that it did not give; wrong_time: with our clock. */
static int tell_no(const struct http_reply *reply, bool *wrong_time)
{
	const char *who = azure.credential == AZURE_MANAGED ?
			  "this machine's cloud" : azure.authority.url[0] + 8;
	struct oauth_error e = { .word = "", .text = "" };
	json_t *json = NULL;
	int err, len;
	bool here;

	if (body_parse(&reply->body, &json) == 0)
		read_error(json, &e);
	*wrong_time = e.code == CODE_WRONG_TIME;
	/* Traces for the operator of the cloud come in further lines. */
	len = strcspn(e.text, "\r\n");
	if (len > 250)
		len = 250;
	err = judge_no(reply->status, &e, &here);
	if (here)
		vault_fail_here("%s gives no token: %.60s (%ld): %.*s", who,
				e.word, reply->status, len, e.text);
	else
		vault_fail(err, "%s gives no token: %.60s (%ld): %.*s", who,
			   *e.word ? e.word : "it does not say why",
			   reply->status, len, e.text);
	json_decref(json);
	return err;
}

/* --- the two ways to ask --- */

static int ask_authority(struct http_reply *reply)
{
	static const struct http_header headers[] = {
		{ "Accept", "application/json" },
		{ "Content-Type", "application/x-www-form-urlencoded" },
		{ NULL, NULL },
	};
	char path[AZURE_NAME_SIZE + 32], url[512];
	struct http_request rq = {
		.method = "POST", .path = path, .headers = headers,
	};
	struct secret form = { 0 };
	int err;

	snprintf(path, sizeof(path), "/%s/oauth2/v2.0/token", azure.tenant);
	snprintf(url, sizeof(url), "%.300s%s", azure.authority.url[0], path);
	err = form_start(&form);
	if (!err)
		err = fill_form(&form, url);
	rq.body = form.data;
	rq.body_len = form.len;
	if (!err) {
		err = http_call(&azure.authority, &rq, reply);
		azure_heard(reply);
	}
	secret_free(&form);
	return err;
}

static int ask_machine(struct http_reply *reply)
{
	static const struct http_header headers[] = {
		{ "Metadata", "true" }, { NULL, NULL },
	};
	/* It says so while an identity is being given to the machine. */
	static const long away[] = { 404, 410, 0 };
	char resource[3 * sizeof(azure.resource)], path[1500];
	struct http_request rq = {
		.method = "GET", .path = path, .headers = headers,
		.away = away, .metadata = true,
	};

	http_escape(resource, azure.resource);
	snprintf(path, sizeof(path), "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=%s%s%s",
		 resource, azure.client_id ? "&client_id=" : "",
		 azure.client_id ?: "");
	return http_call(NULL, &rq, reply);
}

int azure_credential_token(struct secret *token, json_int_t *lifetime)
{
	bool wrong_time = false, again = false;
	struct http_reply reply = { .status = 0 };
	long skew;
	int err;

	do {
		/* The second time, by the clock that the first answer told. */
		again = wrong_time;
		wrong_time = false;
		skew = azure_skew();
		http_reply_free(&reply);
		err = azure.credential == AZURE_MANAGED ? ask_machine(&reply) :
		      ask_authority(&reply);
		if (!err && reply.status != 200)
			err = tell_no(&reply, &wrong_time);
		else if (!err)
			err = take_token(&reply, token, lifetime);
	} while (wrong_time && !again && labs(azure_skew() - skew) > 1);
	http_reply_free(&reply);
	secret_free(&proof);
	return err;
}
