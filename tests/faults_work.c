// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The work of faults_test: everything that the module does for a task, with
 * allocations of this task failing as debugfs says.  Each step either does what
 * it should or fails with an errno that says that there was no memory, and when
 * nothing fails any more all is as before.
 *
 *	faults_work work ROUNDS
 *	faults_work each
 *	faults_work shares ROUNDS
 *	faults_work shares-each
 *	faults_work load MODULE.ko
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults_work.h"

static const uint8_t iv[16] = { 7 };
static const uint8_t page[4096] = "whatever memory there is";
static int chance_fd, nth_fd;
static int armed, calm;
static int nth;		/* which allocation fails; 0: by chance */
static int hit;		/* it has */

static void set(int fd, int value)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", value);

	while (pwrite(fd, text, len, 0) != len)
		;
}

void faults(int on)
{
	char left[16] = "";

	on = on && !calm;
	if (!nth) {
		set(chance_fd, on);
		return;
	}
	if (!on && pread(nth_fd, left, sizeof(left) - 1, 0) > 0)
		hit |= armed && !atoi(left);
	set(nth_fd, on ? nth : 0);
	armed = on;
}

static int op_of(const uint8_t *blob)
{
	int fd = alg_open(alg_mode()->alg), op, err;

	if (fd < 0)
		return fd;
	err = alg_setkey(fd, blob, VAULTRING_BLOB_SIZE);
	op = err ? err : alg_op(fd);
	close(fd);
	return op;
}

static int crypt_page(const uint8_t *blob, uint8_t *out)
{
	int op = op_of(blob), err;

	if (op < 0)
		return op;
	err = alg_crypt(op, 1, iv, page, out, sizeof(page));
	close(op);
	return err;
}

static int step_kek(struct state *s)
{
	faults(0);
	kek_revoke(s->nl, &s->fresh);
	faults(1);
	return kek_make(s->nl, &s->vault, NULL, &s->fresh);
}

static int step_handle(struct state *s)
{
	return request_key("vault-kek", s->kek.name, "",
			   KEY_SPEC_PROCESS_KEYRING) < 0 ? -errno : 0;
}

static int step_new(struct state *s)
{
	uint8_t blob[VAULTRING_BLOB_SIZE];
	char words[96];

	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 s->kek.name, alg_mode()->use, alg_mode()->bits);
	return dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
}

static int step_load(struct state *s)
{
	int key = dek_load(s->blob, sizeof(s->blob), KEY_SPEC_PROCESS_KEYRING);

	return key < 0 ? key : 0;
}

/* Whatever comes of it, the key's blob must open and be the same DEK. */
static int step_rewrap(struct state *s)
{
	uint8_t blob[VAULTRING_BLOB_SIZE], out[sizeof(page)];
	char words[96];
	int err;

	snprintf(words, sizeof(words), "rewrap kek=%s", s->kek.name);
	err = keyctl_update(s->key, words, strlen(words)) ? -errno : 0;
	faults(0);
	if (blob_of(s->key, blob) || crypt_page(blob, out) ||
	    memcmp(out, s->expected, sizeof(out)))
		return WRONG;
	return err;
}

static int step_crypt(struct state *s)
{
	uint8_t out[sizeof(page)];
	int err = crypt_page(s->blob, out);

	return !err && memcmp(out, s->expected, sizeof(out)) ? WRONG : err;
}

static int step_status(struct state *s)
{
	struct nl_reply r;
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_STATUS_GET, 0);
	err = nl_call(s->nl, &m, &r);
	if (err)
		return err;
	nl_start(&m, VAULTRING_CMD_KEK_GET, 0);
	nl_put(&m, VAULTRING_A_ID, s->kek.id, VAULTRING_ID_SIZE);
	err = nl_call(s->nl, &m, &r);
	if (err)
		return err;
	return nl_u32(&r, VAULTRING_A_STATE) == VAULTRING_KEK_STATE_ACTIVE ?
		0 : WRONG;
}

/* A transform under the KEK is open when it is revoked. */
static int step_revoke(struct state *s)
{
	uint8_t blob[VAULTRING_BLOB_SIZE], out[sizeof(page)];
	char words[96];
	int op, err;

	faults(0);
	if (!kek_held(s->nl, s->fresh.id) &&
	    kek_make(s->nl, &s->vault, NULL, &s->fresh))
		return WRONG;
	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 s->fresh.name, alg_mode()->use, alg_mode()->bits);
	err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
	op = err ? err : op_of(blob);
	if (op < 0)
		return WRONG;
	faults(1);
	err = kek_revoke(s->nl, &s->fresh);
	faults(0);
	if (!err && (kek_held(s->nl, s->fresh.id) ||
		     alg_crypt(op, 1, iv, page, out, sizeof(page)) !=
		     -EKEYREVOKED))
		err = WRONG;
	close(op);
	return err;
}

static const struct step own_steps[] = {
	{ "create and unseal", step_kek },
	{ "handle", step_handle },
	{ "new", step_new },
	{ "load", step_load },
	{ "rewrap", step_rewrap },
	{ "encrypt", step_crypt },
	{ "status", step_status },
	{ "revoke", step_revoke },
};

/* Those that are taken. */
static const struct step *steps = own_steps;
static size_t n_steps = sizeof(own_steps) / sizeof(own_steps[0]);
static int done[STEPS_MAX], refused[STEPS_MAX];

/* ENOBUFS is what sockets say, ENFILE what a socket without a file does. */
static int is_want_of_memory(int err)
{
	return err == -ENOMEM || err == -ENOBUFS || err == -ENFILE;
}

/* What is there before anything fails. */
static int prepare(struct state *s)
{
	char words[96];

	s->nl = nl_open();
	if (s->nl < 0 || own_session() || soft_vault_make(&s->vault) ||
	    pins_set(s->nl, &s->vault, NULL, NULL) ||
	    kek_make(s->nl, &s->vault, NULL, &s->kek))
		return -1;
	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 s->kek.name, alg_mode()->use, alg_mode()->bits);
	if (dek_new(words, KEY_SPEC_SESSION_KEYRING, s->blob, &s->key) ||
	    (steps == share_steps && shares_prepare(s)))
		return -1;
	return crypt_page(s->blob, s->expected);
}

/* Returns 1 if it ended in a way that it must not. */
static int failing_step(struct state *s, size_t i)
{
	int err;

	faults(1);
	err = steps[i].run(s);
	faults(0);
	(err ? refused : done)[i]++;
	if (!err || is_want_of_memory(err))
		return 0;
	printf("%s: allocation %d: %s\n", steps[i].name, nth,
	       err == WRONG ? "a wrong result" : strerror(-err));
	return 1;
}

static int all_is_well(struct state *s)
{
	int err, bad = 0;
	size_t i;

	calm = 1;
	kek_revoke(s->nl, &s->fresh);
	keyctl_clear(KEY_SPEC_PROCESS_KEYRING);
	for (i = 0; i < n_steps; i++) {
		err = steps[i].run(s);
		if (!err)
			continue;
		printf("%s, without faults: %d\n", steps[i].name, err);
		bad = 1;
	}
	keyctl_clear(KEY_SPEC_PROCESS_KEYRING);
	calm = 0;
	return !bad;
}

static int by_chance(struct state *s, int rounds)
{
	int bad = 0;
	size_t i;

	while (rounds--) {
		for (i = 0; i < n_steps; i++)
			bad |= failing_step(s, i);
		bad |= !all_is_well(s);
	}
	return bad;
}

/* Until a step makes no further one, that is. */
static int each_in_turn(struct state *s)
{
	int bad = 0;
	size_t i;

	for (i = 0; i < n_steps; i++) {
		for (nth = 1, hit = 1; hit; nth++) {
			hit = 0;
			bad |= failing_step(s, i);
		}
		bad |= !all_is_well(s);
		printf("%s: %d allocations failed\n", steps[i].name, nth - 2);
		nth = 0;
	}
	return bad;
}

/* Without a number of rounds, each allocation fails in its turn. */
static int work(int rounds)
{
	static struct state s;
	size_t i;
	int bad;

	calm = 1;
	if (prepare(&s)) {
		printf("cannot prepare\n");
		return 1;
	}
	calm = 0;
	bad = rounds ? by_chance(&s, rounds) : each_in_turn(&s);
	for (i = 0; i < n_steps; i++)
		printf("%s: %d done, %d refused\n", steps[i].name, done[i],
		       refused[i]);
	if (steps == share_steps)
		shares_end(&s);
	bad |= kek_revoke(s.nl, &s.kek);
	return bad | pins_set(s.nl, NULL, NULL, NULL);
}

/*
 * It must not fail for want of memory.  The crypto API's own tests of what has
 * just been registered may still use the module.
 */
static int unload(void)
{
	int tries, err = -EAGAIN;

	for (tries = 0; err == -EAGAIN && tries < 300; tries++) {
		if (tries)
			usleep(100 * 1000);
		faults(1);
		err = syscall(SYS_delete_module, "vaultring", O_NONBLOCK) ?
			-errno : 0;
		faults(0);
	}
	return err;
}

/* Also of unloading. */
static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = -errno;

	for (nth = 1, hit = 1; hit; nth++) {
		hit = 0;
		faults(1);
		err = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
		faults(0);
		if (err && !is_want_of_memory(err)) {
			printf("loading, allocation %d: %s\n", nth,
			       strerror(-err));
			return 1;
		}
		if (err)
			continue;
		err = unload();
		if (err) {
			printf("unloading, allocation %d: %s\n", nth,
			       strerror(-err));
			return 1;
		}
	}
	printf("loading: %d allocations failed\n", nth - 2);
	return err;
}

int main(int argc, char *argv[])
{
	chance_fd = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (chance_fd < 0 || nth_fd < 0) {
		perror("/proc/self/make-it-fail, fail-nth");
		return 1;
	}
	if (argc > 1 && !strncmp(argv[1], "shares", 6)) {
		steps = share_steps;
		n_steps = n_share_steps;
		if (argc == 3 && !strcmp(argv[1], "shares"))
			return work(atoi(argv[2]));
		if (argc == 2 && !strcmp(argv[1], "shares-each"))
			return work(0);
	}
	if (argc == 3 && !strcmp(argv[1], "work"))
		return work(atoi(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "each"))
		return work(0);
	if (argc == 3 && !strcmp(argv[1], "load"))
		return load(argv[2]);
	fprintf(stderr, "usage: faults_work work|shares ROUNDS | each | shares-each | load MODULE\n");
	return 2;
}
