// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Userspace's part in the conformance suite of kmod/conform: make a KEK and
 * blobs of every use and size, recover the data keys as only one who knows the
 * vault's private key can, hand both to the module, and revoke the KEK when
 * requests are in flight.
 *
 *	conform_run [held]
 *
 * The verdict is in /sys/kernel/debug/conform/tap.  held: the module has been
 * loaded with async=1 and can keep requests in flight.  What that is about does
 * not depend on the key's size: one of each transform will do.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "vr_test.h"

#define MAX_SIZES 4
#define COMMAND "/sys/kernel/debug/conform/command"

static const struct transform {
	const char *type, *use, *alg, *twin;
	int bits[MAX_SIZES];
} transforms[] = {
	{ "skcipher", "xts", "xts(paes)", "xts(aes)", { 256, 512 } },
	{ "skcipher", "cbc", "cbc(paes)", "cbc(aes)", { 128, 192, 256 } },
	{ "skcipher", "ctr", "ctr(paes)", "ctr(aes)", { 128, 192, 256 } },
	{ "aead", "gcm", "gcm(paes)", "gcm(aes)", { 128, 192, 256 } },
	{ "shash", "hmac", "phmac(sha256)", "hmac(sha256)", { 256, 512 } },
};

#define COUNT (sizeof(transforms) / sizeof(transforms[0]))

struct run {
	struct soft_vault vault;
	struct kek kek;
	uint8_t kek_bytes[32];
	int nl, command;
};

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("conform_run: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void say(struct run *r, const char *text)
{
	size_t len = strlen(text);

	if (write(r->command, text, len) != (ssize_t)len)
		die("the module refuses \"%.24s\": %s", text, strerror(errno));
}

/* The KEK itself, by the oracle from the envelope and the vault's key. */
static void recover_kek(struct run *r)
{
	char dir[] = "/tmp/conform-XXXXXX", path[64], out[1024], *hex;
	FILE *f;

	if (!mkdtemp(dir))
		die("no folder: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/key", dir);
	if (soft_vault_save(&r->vault, path))
		die("cannot write %s", path);
	snprintf(path, sizeof(path), "%s/envelope", dir);
	f = fopen(path, "we");
	if (!f || fwrite(r->kek.envelope, r->kek.envelope_len, 1, f) != 1 ||
	    fclose(f))
		die("cannot write %s", path);
	if (run(out, sizeof(out), "python3 /usr/libexec/vaultring-tests/oracle.py"
		" verify %s/envelope %s/key", dir, dir))
		die("the oracle: %s", out);
	hex = strstr(out, "kek=");
	if (!hex || hex_to(hex + 4, r->kek_bytes, sizeof(r->kek_bytes)))
		die("the oracle says no KEK");
	run(NULL, 0, "rm -r %s", dir);
}

/* As uapi/linux/vaultring_format.h says; returns the DEK's length. */
static int open_blob(const struct run *r, const uint8_t *raw, uint8_t *dek)
{
	const struct vaultring_blob *b = (const void *)raw;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n, good;

	good = EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), r->kek_bytes,
				   b->nonce, NULL) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &n, raw, 56) == 1 &&
	       EVP_DecryptUpdate(ctx, dek, &n, b->ciphertext,
				 sizeof(b->ciphertext)) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(b->tag),
				   (void *)b->tag) == 1 &&
	       EVP_DecryptFinal_ex(ctx, dek + n, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!good)
		die("a blob does not open under the oracle's KEK");
	return b->dek_len;
}

static void add(struct run *r, const struct transform *t, int bits)
{
	uint8_t blob[VAULTRING_BLOB_SIZE], dek[VAULTRING_DEK_MAX];
	char words[96], text[1024];
	int i, err, at, len;

	at = snprintf(text, sizeof(text), "add %s %s %s", t->type, t->alg,
		      t->twin);
	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 r->kek.name, t->use, bits);
	for (i = 0; i < 2; i++) {
		err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
		if (err)
			die("%s: %s", words, strerror(-err));
		len = open_blob(r, blob, dek);
		text[at++] = ' ';
		hex_of(dek, len, text + at);
		at += 2 * len;
		text[at++] = ' ';
		hex_of(blob, sizeof(blob), text + at);
		at += 2 * sizeof(blob);
	}
	say(r, text);
}

static void check_everything(struct run *r, int sizes)
{
	size_t i;
	int k;

	for (i = 0; i < COUNT; i++) {
		for (k = 0; k < sizes && transforms[i].bits[k]; k++)
			add(r, &transforms[i], transforms[i].bits[k]);
		say(r, "check");
		say(r, "drop");
	}
}

/* One subject of each transform, with the first size of key. */
static void add_one_of_each(struct run *r)
{
	size_t i;

	for (i = 0; i < COUNT; i++)
		add(r, &transforms[i], transforms[i].bits[0]);
}

static void nap(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void unseal(struct run *r)
{
	int err = kek_unseal(r->nl, &r->vault, r->kek.envelope,
			     r->kek.envelope_len);

	if (err)
		die("the KEK cannot be unsealed: %s", strerror(-err));
}

static void revoke_in_flight(struct run *r)
{
	int err;

	add_one_of_each(r);
	say(r, "fly");
	nap(500);
	err = kek_revoke(r->nl, &r->kek);
	if (err)
		die("the KEK cannot be revoked: %s", strerror(-err));
	nap(100);
	say(r, "land");
	say(r, "wiped");
	say(r, "drop");
	unseal(r);
}

static void *revoke_kek(void *arg)
{
	struct run *r = arg;
	int nl = nl_open();
	long err = nl < 0 ? nl : kek_revoke(nl, &r->kek);

	close(nl);
	return (void *)err;
}

/* The revoke has begun, and cannot end before the requests do. */
static void revoke_held(struct run *r)
{
	pthread_t thread;
	void *err;
	int i;

	add_one_of_each(r);
	say(r, "hold");
	if (pthread_create(&thread, NULL, revoke_kek, r))
		die("no thread");
	for (i = 0; i < 500 && kek_held(r->nl, r->kek.id); i++)
		nap(10);
	/* Long enough for one that does not wait. */
	nap(1000);
	if (!pthread_tryjoin_np(thread, &err))
		die("the revoke did not wait for what is in flight (%ld)",
		    (long)err);
	say(r, "release");
	pthread_join(thread, &err);
	if (err)
		die("the KEK cannot be revoked: %s", strerror(-(long)err));
	say(r, "wiped");
	say(r, "drop");
	unseal(r);
}

int main(int argc, char *argv[])
{
	const int held = argc > 1 && !strcmp(argv[1], "held");
	static struct run r;
	int err;

	r.nl = nl_open();
	r.command = open(COMMAND, O_WRONLY | O_CLOEXEC);
	if (r.nl < 0 || r.command < 0)
		die("vaultring or conform is not loaded");
	err = own_session();
	if (!err)
		err = soft_vault_make(&r.vault);
	if (!err)
		err = pins_set(r.nl, &r.vault, NULL, NULL);
	if (!err)
		err = kek_make(r.nl, &r.vault, NULL, &r.kek);
	if (err)
		die("no KEK: %s", strerror(-err));
	recover_kek(&r);
	check_everything(&r, held ? 1 : MAX_SIZES);
	revoke_in_flight(&r);
	if (held)
		revoke_held(&r);
	say(&r, "done");
	kek_revoke(r.nl, &r.kek);
	pins_set(r.nl, NULL, NULL, NULL);
	soft_vault_free(&r.vault);
	return 0;
}
