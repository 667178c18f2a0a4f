// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blobs and requests beside what the kernel does for others
 *
 *	bench_keys requests|blobs ROUNDS	by the module of tests/kmod/bench.c
 *	bench_keys load ROUNDS		vault-dek and encrypted keys, by add_key
 *	bench_keys keks MOST		what it costs with more and more KEKs held
 *
 * The vault is a key in this process, so that nothing here waits for a daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "vr_test.h"

#define MODULE "/sys/kernel/debug/bench/"
#define REQUESTS 2000	/* a round */
#define BLOBS 200
#define LOADS 200
#define LOOKUPS 1000
#define RING KEY_SPEC_PROCESS_KEYRING

struct setting {
	struct soft_vault vault;
	struct kek kek;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	int nl;
};

static void set_up(struct setting *s)
{
	char words[128];
	int err;

	s->nl = nl_open();
	if (s->nl < 0)
		die(s->nl, "no netlink");
	err = own_session();
	if (!err)
		err = soft_vault_make(&s->vault);
	if (!err)
		err = pins_set(s->nl, &s->vault, NULL, NULL);
	if (!err)
		err = kek_make(s->nl, &s->vault, NULL, &s->kek);
	if (err)
		die(err, "no KEK");
	snprintf(words, sizeof(words), "new kek=%s use=xts bits=512",
		 s->kek.name);
	err = dek_new(words, RING, s->blob, NULL);
	if (err)
		die(err, "no blob");
}

static void tear_down(struct setting *s)
{
	keyctl_clear(RING);
	kek_revoke(s->nl, &s->kek);
	pins_set(s->nl, NULL, NULL, NULL);
	soft_vault_free(&s->vault);
	close(s->nl);
}

/*
 * The module's part
 */

static void show_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		die(-errno, "%s", path);
	while ((n = read(fd, text, sizeof(text))) > 0)
		fwrite(text, n, 1, stdout);
	close(fd);
}

static void by_module(const struct setting *s, const char *verb, int rounds,
		      int count)
{
	char text[64 + 2 * VAULTRING_BLOB_SIZE];
	int fd = open(MODULE "command", O_WRONLY | O_CLOEXEC), at;

	if (fd < 0)
		die(-errno, MODULE "command");
	at = sprintf(text, "%s %d %d ", verb, rounds, count);
	hex_of(s->blob, sizeof(s->blob), text + at);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(-errno, "the module cannot do %s", verb);
	close(fd);
	show_file(MODULE "tap");
}

/*
 * add_key
 */

/* The text that loads an encrypted key of the size of a DEK. */
static void make_encrypted(char *text, size_t size)
{
	key_serial_t key;
	long n;

	memset(text, 'k', 32);
	if (add_key("user", "bench-kmk", text, 32, RING) < 0)
		die(-errno, "no key for encrypted ones");
	key = add_key("encrypted", "first", "new user:bench-kmk 64", 21, RING);
	if (key < 0)
		die(-errno, "no encrypted key");
	strcpy(text, "load ");
	n = keyctl_read(key, text + 5, size - 6);
	if (n < 0 || (size_t)n > size - 6)
		die(n < 0 ? -errno : -EMSGSIZE, "an encrypted key is not read");
	text[5 + n] = 0;
	keyctl_unlink(key, RING);
}

/* Microseconds for one; each key is new, and they go when all are there. */
static double load(const char *type, const void *payload, size_t len)
{
	key_serial_t ring = add_key("keyring", "bench", NULL, 0, RING);
	char name[16];
	double start;
	int i;

	if (ring < 0)
		die(-errno, "no keyring");
	start = now_us();
	for (i = 0; i < LOADS; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		if (add_key(type, name, payload, len, ring) < 0)
			die(-errno, "key %d of type %s", i, type);
	}
	start = (now_us() - start) / LOADS;
	keyctl_unlink(ring, RING);
	return start;
}

static void load_rounds(const struct setting *s, int rounds)
{
	char text[2048];
	int i;

	make_encrypted(text, sizeof(text));
	load("vault-dek", s->blob, sizeof(s->blob));
	load("encrypted", text, strlen(text));
	for (i = 0; i < rounds; i++) {
		sample("load", "vault-dek",
		       load("vault-dek", s->blob, sizeof(s->blob)));
		sample("load", "encrypted", load("encrypted", text, strlen(text)));
	}
}

/*
 * More and more KEKs
 */

static double look_up(int nl, uint8_t (*ids)[VAULTRING_ID_SIZE], int keks)
{
	static double times[LOOKUPS];
	double start;
	int i;

	for (i = 0; i < LOOKUPS; i++) {
		struct nl_reply r;

		start = now_us();
		if (kek_get(nl, ids[(long long)i * 7919 % keks], &r))
			die(0, "a KEK is not held any more");
		times[i] = now_us() - start;
	}
	return median(times, LOOKUPS);
}

/* The blob's KEK is the first, and all others lie on top of it. */
static double open_blobs(const struct setting *s)
{
	static double times[LOOKUPS];
	double start;
	int i;

	for (i = 0; i < LOOKUPS; i++) {
		start = now_us();
		if (add_key("vault-dek", "loaded", s->blob, sizeof(s->blob),
			    RING) < 0)
			die(-errno, "the blob does not open");
		times[i] = now_us() - start;
	}
	return median(times, LOOKUPS);
}

static void keks(struct setting *s, int most)
{
	uint8_t (*ids)[VAULTRING_ID_SIZE] = calloc(most, sizeof(*ids));
	double lookup = 0, blob = 0, first_lookup = 0, first_blob = 0, start;
	int held = 1, scale, err;
	struct kek kek;

	if (!ids)
		die(-ENOMEM, "no room for %d KEKs", most);
	memcpy(ids[0], s->kek.id, sizeof(ids[0]));
	for (scale = 10; scale <= most; scale *= 10) {
		start = now_us();
		for (; held < scale; held++) {
			err = kek_make(s->nl, &s->vault, NULL, &kek);
			if (err)
				die(err, "KEK number %d", held + 1);
			memcpy(ids[held], kek.id, sizeof(ids[0]));
		}
		printf("bench note keks: %d held, the last ones within %.1f s\n",
		       held, (now_us() - start) / 1e6);
		lookup = look_up(s->nl, ids, held);
		blob = open_blobs(s);
		point("kek-lookup", held, lookup);
		point("kek-blob", held, blob);
		first_lookup = first_lookup ?: lookup;
		first_blob = first_blob ?: blob;
	}
	sample("keks.lookup", "many", lookup);
	sample("keks.lookup", "few", first_lookup);
	sample("keks.blob", "many", blob);
	sample("keks.blob", "few", first_blob);
	free(ids);
}

int main(int argc, char *argv[])
{
	static struct setting s;
	int n;

	if (argc != 3) {
		fputs("usage: bench_keys requests|blobs|load|keks N\n", stderr);
		return 2;
	}
	n = atoi(argv[2]);
	set_up(&s);
	if (!strcmp(argv[1], "requests"))
		by_module(&s, argv[1], n, REQUESTS);
	else if (!strcmp(argv[1], "blobs"))
		by_module(&s, argv[1], n, BLOBS);
	else if (!strcmp(argv[1], "load"))
		load_rounds(&s, n);
	else if (!strcmp(argv[1], "keks") && n >= 10)
		keks(&s, n);
	else
		die(0, "cannot do %s %d", argv[1], n);
	tear_down(&s);
	return 0;
}
