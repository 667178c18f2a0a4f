// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The main loop of every vault worker
 *
 * One request per line on the socket that is standard input and output, one
 * reply per request, in order.  The worker ends when the daemon closes the
 * socket, but what it has begun it finishes: a library that is stopped while it
 * writes may damage its token.  The daemon kills what does not end then.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/rand.h>

#include "../log.h"
#include "../secret.h"
#include "../util.h"
#include "vault.h"

#define LINE_SIZE (64 * 1024)
#define DEFAULT_PATIENCE (5 * 1000000ULL)

static int daemon_fd;
static json_t *settings;
static bool configured;
static bool here;	/* the failure is this machine's */
static char failure[512];
static uint64_t patience = DEFAULT_PATIENCE, deadline;
static long connect_ms = 3000, end_ms = 2000, rest_s;
static uint8_t wanted[FINGERPRINT_SIZE];
static bool wants;

const char *vault_setting(const char *name)
{
	return json_string_value(json_object_get(settings, name));
}

bool vault_awaited(void)
{
	struct pollfd end = { .fd = daemon_fd, .events = POLLRDHUP };

	return poll(&end, 1, 0) != 1;
}

uint64_t vault_deadline(void)
{
	return deadline;
}

long vault_connect_ms(void)
{
	return connect_ms;
}

void vault_rests(long seconds)
{
	rest_s = seconds;
}

const uint8_t *vault_wanted(void)
{
	return wants ? wanted : NULL;
}

void vault_say(bool is_here, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(failure, sizeof(failure), format, ap);
	va_end(ap);
	/* A token's label, or a server's words, may hold anything. */
	text_tidy(failure);
	here = is_here;
}

void spki_p256(uint8_t spki[SPKI_P256_SIZE], const uint8_t point[POINT_SIZE])
{
	/* Up to the uncompressed point, which begins with 04. */
	static const uint8_t prefix[] = {
		0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
		0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
		0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
	};

	_Static_assert(sizeof(prefix) + POINT_SIZE == SPKI_P256_SIZE,
		       "a P-256 SubjectPublicKeyInfo has 91 bytes");
	memcpy(spki, prefix, sizeof(prefix));
	memcpy(spki + sizeof(prefix), point, POINT_SIZE);
}

/* A mistyped one must not silently mean its default. */
static int check_settings(json_t *given)
{
	const char *const *known;
	const char *name;
	json_t *value;

	json_object_foreach(given, name, value) {
		for (known = vault_ops.settings; *known; known++)
			if (!strcmp(name, *known))
				break;
		if (!*known)
			return vault_fail(-ENOKEY, "vaultring.conf has \"%.40s\", which is no setting of the family %s; see: man vaultring.conf",
					  name, vault_ops.scheme);
	}
	return 0;
}

static long take_ms(const json_t *request, const char *name, long before)
{
	json_int_t ms = json_integer_value(json_object_get(request, name));

	return ms > 0 && ms < INT32_MAX ? ms : before;
}

static int op_configure(const json_t *request, json_t *reply)
{
	json_t *given = json_object_get(request, "settings");
	const char *uri;
	int err;
	size_t len = strlen(vault_ops.scheme);

	(void)reply;
	if (!json_is_object(given))
		return vault_fail(-ENOKEY, "configure has no settings");
	err = check_settings(given);
	if (err)
		return err;
	patience = take_ms(request, "timeout-ms", patience / 1000) * 1000;
	connect_ms = take_ms(request, "connect-timeout-ms", connect_ms);
	end_ms = take_ms(request, "end-timeout-ms", end_ms);
	deadline = now_usec() + patience;
	json_decref(settings);
	settings = json_deep_copy(given);
	uri = vault_setting("uri");
	if (!uri || strncmp(uri, vault_ops.scheme, len) || uri[len] != ':')
		err = vault_fail(-ENOKEY, "its uri does not begin with %s:",
				 vault_ops.scheme);
	else
		err = vault_ops.configure();
	configured = !err;
	return err;
}

static const char *request_key_name(const json_t *request)
{
	const char *key = json_string_value(json_object_get(request, "key"));

	return key ? key : "";
}

static int set_hex(json_t *reply, const char *name, const uint8_t *data,
		   size_t len)
{
	char hex[2 * SPKI_MAX + 1];
	int err;

	hex_encode(hex, data, len);
	err = json_object_set_new(reply, name, json_string(hex));
	explicit_bzero(hex, sizeof(hex));
	return err ? -ENOMEM : 0;
}

static bool is_symmetric(const char *key)
{
	return vault_ops.symmetric && vault_ops.symmetric(key);
}

static int op_public_key(const json_t *request, json_t *reply)
{
	bool poll = json_is_true(json_object_get(request, "poll"));
	const char *key = request_key_name(request);
	const char *method = "oblivious";
	uint8_t spki[SPKI_MAX];
	size_t len = sizeof(spki);
	int err;

	if (poll && vault_ops.poll)
		err = vault_ops.poll(key, spki, &len);
	else
		err = vault_ops.public_key(key, true, spki, &len);
	if (err)
		return err;
	if (vault_ops.method)
		method = vault_ops.method(key);
	if (json_object_set_new(reply, "method", json_string(method)))
		return -ENOMEM;
	if (is_symmetric(key))
		return json_object_set_new(reply, "identity",
					   json_stringn((char *)spki, len)) ?
		       -ENOMEM : 0;
	return len ? set_hex(reply, "spki", spki, len) : 0;
}

/*
 * A vault whose key is another one than the envelope was made for would give
 * an answer that the kernel rejects without saying why: find out here.
 */
static int check_fingerprint(const json_t *request, const char *key)
{
	const char *want = json_string_value(json_object_get(request,
							"spki-fingerprint"));
	bool fresh = json_is_true(json_object_get(request, "fresh"));
	uint8_t spki[SPKI_MAX], have[FINGERPRINT_SIZE];
	char hex[FINGERPRINT_HEX];
	size_t len = sizeof(spki);
	int err;

	err = vault_ops.public_key(key, fresh, spki, &len);
	if (err || !wants)
		return err;
	if (sha256(spki, len, have))
		return vault_fail(-EAGAIN, "cannot compute SHA-256");
	if (!memcmp(have, wanted, sizeof(wanted)))
		return 0;
	hex_encode(hex, have, sizeof(have));
	return vault_fail(-ENOKEY, "its key is not the one that the envelope "
			  "names: the vault's key has fingerprint %s, the envelope wants %s",
			  hex, want);
}

static int no_method(const char *method)
{
	return vault_fail_here("vaults of family %s make no %s shares; has its uri in vaultring.conf changed?",
			       vault_ops.scheme, method);
}

static int op_exchange(const json_t *request, json_t *reply)
{
	const char *key = request_key_name(request);
	const char *point = json_string_value(json_object_get(request, "point"));
	uint8_t in[POINT_SIZE], x[X_SIZE];
	int err;

	if (!vault_ops.exchange)
		return no_method("oblivious");
	if (!point || hex_decode(point, in, sizeof(in)))
		return vault_fail(-EKEYREJECTED, "point is not %d bytes in hex",
				  POINT_SIZE);
	err = check_fingerprint(request, key);
	if (!err)
		err = vault_ops.exchange(key, in, x);
	if (!err)
		err = set_hex(reply, "x", x, sizeof(x));
	explicit_bzero(x, sizeof(x));
	return err;
}

static int op_unwrap(const json_t *request, json_t *reply)
{
	const char *key = request_key_name(request);
	const char *hex = json_string_value(json_object_get(request,
							    "ciphertext"));
	uint8_t in[CIPHERTEXT_MAX], secret[SHARE_SECRET_SIZE];
	ssize_t len = hex ? hex_decode_any(hex, in, sizeof(in)) : -EINVAL;
	int err;

	if (!vault_ops.unwrap)
		return no_method("clear");
	if (len <= 0)
		return vault_fail(-EKEYREJECTED, "ciphertext is not 1 to %d bytes in hex",
				  CIPHERTEXT_MAX);
	err = check_fingerprint(request, key);
	if (!err)
		err = vault_ops.unwrap(key, in, len, secret);
	if (!err)
		err = set_hex(reply, "secret", secret, sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	return err;
}

/* The vault must not give it back as it is. */
static int check_wrapped(const uint8_t secret[SHARE_SECRET_SIZE],
			 const uint8_t wrapped[SHARE_WRAPPED_SIZE])
{
	size_t i;

	for (i = 0; i <= SHARE_WRAPPED_SIZE - SHARE_SECRET_SIZE; i++) {
		if (memcmp(wrapped + i, secret, SHARE_SECRET_SIZE))
			continue;
		log_err("the vault gave back in the clear what it should have wrapped: do not use it any more");
		return vault_fail(-EKEYREJECTED, "it gave back in the clear what it should have wrapped");
	}
	return 0;
}

/* Of a symmetric key: a new secret, and what the vault makes of it. */
static int op_wrap(const json_t *request, json_t *reply)
{
	const char *key = request_key_name(request);
	uint8_t secret[SHARE_SECRET_SIZE], wrapped[SHARE_WRAPPED_SIZE];
	int err;

	if (!vault_ops.wrap)
		return vault_fail(-ENOKEY, "vaults of family %s have no symmetric keys",
				  vault_ops.scheme);
	/* Of which version, only the fingerprint says. */
	if (!wants)
		return vault_fail(-EKEYREJECTED, "spki-fingerprint is missing");
	err = check_fingerprint(request, key);
	if (!err && !is_symmetric(key))
		err = vault_fail(-ENOKEY, "its key has a public half; nothing has to be wrapped by it");
	if (!err && RAND_bytes(secret, sizeof(secret)) != 1)
		err = vault_fail(-EAGAIN, "no random numbers");
	if (!err)
		err = vault_ops.wrap(key, secret, wrapped) ?:
		      check_wrapped(secret, wrapped) ?:
		      set_hex(reply, "secret", secret, sizeof(secret)) ?:
		      set_hex(reply, "ciphertext", wrapped, sizeof(wrapped));
	explicit_bzero(secret, sizeof(secret));
	return err;
}

static int take_release(const json_t *request, struct release_request *r)
{
	const char *transport = json_string_value(json_object_get(request,
							"transport"));
	const char *nonce = json_string_value(json_object_get(request,
							      "nonce"));
	ssize_t len = transport ? hex_decode_any(transport, r->transport,
						 sizeof(r->transport)) : -EINVAL;

	if (len <= 0)
		return vault_fail(-EKEYREJECTED, "transport is not a public key in hex");
	r->transport_len = len;
	if (!nonce || hex_decode(nonce, r->nonce, sizeof(r->nonce)))
		return vault_fail(-EKEYREJECTED, "nonce is not %d bytes in hex",
				  NONCE_SIZE);
	return 0;
}

/* Whether it is the right key, only the kernel can see. */
static int op_release(const json_t *request, json_t *reply)
{
	struct release_request r = { .transport_len = 0 };
	struct release out = { .len = 0 };
	int err;

	if (!vault_ops.release)
		return no_method("sealed");
	err = take_release(request, &r);
	if (!err)
		err = vault_ops.release(request_key_name(request), &r, &out);
	if (!err)
		err = set_hex(reply, "wrapped", out.wrapped, out.len);
	if (!err && json_object_set_new(reply, "hash", json_string(out.hash)))
		err = -ENOMEM;
	return err;
}

static int op_init(const json_t *request, json_t *reply)
{
	struct vault_made made = { .spki_len = 0 };
	char hex[2 * MADE_FILE_MAX + 1];
	int err;

	if (!vault_ops.init)
		return vault_fail(-ENOKEY, "keys of family %s are made with the vault's own tools; see: man vaultring.conf",
				  vault_ops.scheme);
	if (*request_key_name(request))
		return vault_fail(-ENOKEY, "only the key that its uri names can be made");
	err = vault_ops.init(&made);
	if (err)
		return err;
	hex_encode(hex, made.spki, made.spki_len);
	err = json_object_set_new(reply, "spki", json_string(hex));
	if (!err && made.file_len) {
		hex_encode(hex, made.file, made.file_len);
		err = json_object_set_new(reply, "file", json_string(hex));
	}
	return err ? -ENOMEM : 0;
}

static const struct {
	const char *name;
	int (*run)(const json_t *request, json_t *reply);
} ops[] = {
	{ "configure", op_configure },
	{ "public-key", op_public_key },
	{ "exchange", op_exchange },
	{ "unwrap", op_unwrap },
	{ "wrap", op_wrap },
	{ "release", op_release },
	{ "init", op_init },
};

static int take_wanted(const json_t *request)
{
	const char *hex = json_string_value(json_object_get(request,
							"spki-fingerprint"));

	wants = hex;
	if (hex && hex_decode(hex, wanted, sizeof(wanted)))
		return vault_fail(-EKEYREJECTED, "spki-fingerprint is not %d bytes in hex",
				  FINGERPRINT_SIZE);
	return 0;
}

static int run_op(const json_t *request, json_t *reply)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	size_t i;
	int err;

	deadline = now_usec() + patience;
	err = take_wanted(request);
	if (err)
		return err;

	if (!op)
		return vault_fail(-EKEYREJECTED, "the request has no op");
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		if (strcmp(op, ops[i].name))
			continue;
		if (i && !configured)
			return vault_fail(-ENOKEY, "configure comes first");
		return ops[i].run(request, reply);
	}
	return vault_fail(-EKEYREJECTED, "no such op: %.40s", op);
}

static const char *error_word(int err)
{
	switch (err) {
	case -ENOKEY:
		return "refused";
	case -EKEYREJECTED:
		return "invalid";
	default:
		return "away";
	}
}

/* The reply has the request's id, whatever became of it. */
static int answer(const char *line, size_t len)
{
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *reply = json_object();
	char *text;
	int err;

	vault_fail(0, "out of memory");
	rest_s = 0;
	if (json_is_object(request))
		err = run_op(request, reply);
	else
		err = vault_fail(-EKEYREJECTED, "not a JSON object");
	if (err) {
		json_object_clear(reply);
		json_object_set_new(reply, "error", json_string(error_word(err)));
		if (here)
			json_object_set_new(reply, "here", json_true());
		if (rest_s > 0 && rest_s < INT32_MAX)
			json_object_set_new(reply, "retry-after-ms",
					    json_integer(rest_s * 1000LL));
		json_object_set_new(reply, "message", json_string(failure));
	}
	json_object_set(reply, "id", json_object_get(request, "id") ?:
			json_null());
	text = json_dumps(reply, JSON_COMPACT);
	if (vault_ops.rest)
		vault_ops.rest();
	json_decref(request);
	json_decref(reply);
	if (!text)
		return -ENOMEM;
	err = write_all(daemon_fd, text, strlen(text));
	if (!err)
		err = write_all(daemon_fd, "\n", 1);
	secret_free_text(text);
	/* The daemon does not wait for it any more. */
	return err == -EPIPE ? 0 : err;
}

static int loop(void)
{
	static char line[LINE_SIZE];
	size_t have = 0;
	char *end;
	ssize_t n;
	int err;

	for (;;) {
		while ((end = memchr(line, '\n', have))) {
			err = answer(line, end - line);
			if (err)
				return err;
			have -= end + 1 - line;
			memmove(line, end + 1, have);
		}
		if (have == sizeof(line))
			return -EMSGSIZE;
		n = read(daemon_fd, line + have, sizeof(line) - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		have += n;
	}
}

/* Libraries print; what they print must not end up between the replies. */
static int take_socket(void)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return -errno;
	close(null);
	return fd;
}

/*
 * The daemon has died, or the service manager ends both.  The socket says so,
 * too, and this sees to it that a library which hangs does not stay.
 */
static void on_term(int number)
{
	(void)number;
	alarm((end_ms + 999) / 1000);
}

static int set_signals(void)
{
	struct sigaction term = {
		.sa_handler = on_term, .sa_flags = SA_RESTART,
	};

	if (sigaction(SIGTERM, &term, NULL) ||
	    signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	return 0;
}

int main(int argc, char *argv[])
{
	static char program[32];
	int err;

	(void)argv;
	snprintf(program, sizeof(program), "vault-%s", vault_ops.scheme);
	log_init(program, false);
	secret_wipe_json();
	if (argc != 1) {
		log_err("started by vaultringd, not by hand; see vaultringd(8)");
		return 2;
	}
	daemon_fd = take_socket();
	if (daemon_fd < 0) {
		log_err("cannot set up standard input and output: %s",
			strerror(-daemon_fd));
		return 1;
	}
	err = set_signals();
	if (!err && vault_ops.prepare)
		err = vault_ops.prepare();
	err = err ?: sandbox_enter();
	if (err) {
		log_err("cannot give up privileges: %s", strerror(-err));
		return 1;
	}
	err = loop();
	if (err)
		log_err("lost the daemon: %s", strerror(-err));
	/* What a family may still need to take its leave of the vault. */
	deadline = now_usec() + end_ms * 1000ULL * 3 / 4;
	vault_ops.close();
	/* No exit handlers: vendors' libraries crash in theirs. */
	_exit(err ? 1 : 0);
}
