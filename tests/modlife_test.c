// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What modlife_test.sh does many times or many at once: loading and unloading
 * the module, bare, with everything in use, and against tasks that use it.
 *
 *	modlife_test reload ROUNDS
 *	modlife_test live ROUNDS
 *	modlife_test race SECONDS	at least
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vr_test.h"

#define MODULE "vaultring"
#define DISK "/dev/vdb"
#define WARM_UP 20

/* Says what is wrong, and where; every function that fails returns -1. */
#define fail(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), -1)

static char module_path[256];

static int find_module(void)
{
	struct utsname u;

	uname(&u);
	snprintf(module_path, sizeof(module_path),
		 "/lib/modules/%s/updates/" MODULE ".ko", u.release);
	return access(module_path, R_OK) ? fail("%s: %m", module_path) : 0;
}

static int load(void)
{
	int fd = open(module_path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	return err;
}

static int unload_now(void)
{
	return syscall(SYS_delete_module, MODULE, O_NONBLOCK) ? -errno : 0;
}

/*
 * The kernel's own thread that tests a new algorithm may hold the module for a
 * moment longer than loading takes.
 */
static int unload(void)
{
	int tries = 0, err;

	while ((err = unload_now()) == -EAGAIN && tries++ < 1000)
		usleep(1000);
	return err;
}

static int file_has(const char *path, const char *word)
{
	FILE *f = fopen(path, "re");
	char line[512];
	int found = 0;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, word) != NULL;
	if (f)
		fclose(f);
	return found;
}

/* Nothing of the module may be there when it is not loaded. */
static int nothing_left(void)
{
	int nl;

	if (file_has("/proc/modules", MODULE " "))
		return fail("/proc/modules still has " MODULE);
	if (file_has("/proc/crypto", MODULE))
		return fail("/proc/crypto still has algorithms");
	if (file_has("/proc/keys", "vault-"))
		return fail("/proc/keys still has keys");
	if (!access("/sys/module/" MODULE, F_OK))
		return fail("/sys/module/" MODULE " is still there");
	nl = nl_open();
	if (nl != -ENOENT)
		return fail("the netlink family: %d", nl);
	return 0;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int reload_rounds(int rounds)
{
	int i, err;

	for (i = 0; i < rounds; i++) {
		err = load();
		if (err)
			return fail("round %d: loading: %s", i, strerror(-err));
		err = unload();
		if (err)
			return fail("round %d: unloading: %s", i,
				    strerror(-err));
	}
	return nothing_left();
}

static int reload_quarters(int rounds)
{
	double start = seconds();
	int q;

	if (memory_note(0))
		return -1;
	for (q = 0; q < MEMORY_QUARTERS; q++)
		if (reload_rounds(rounds) || memory_note(q + 1))
			return -1;
	printf("%d rounds of load and unload: %.1f s\n", rounds * MEMORY_QUARTERS,
	       seconds() - start);
	return 0;
}

/* A leak grows whenever it is looked at; what the kernel warms up does not. */
static int cmd_reload(int rounds)
{
	int tries = 3;

	rounds /= MEMORY_QUARTERS;
	if (reload_rounds(WARM_UP))
		return -1;
	do {
		if (reload_quarters(rounds))
			return -1;
	} while (memory_judge(rounds) && --tries);
	return tries ? 0 : -1;
}

/*
 * Everything in use
 */

struct live {
	struct soft_vault vault;
	struct kek kek;
	int nl, events;
	uint8_t blob[VAULTRING_BLOB_SIZE];
	key_serial_t dek, handle;
};

static int attach(int nl)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_ATTACH, 0);
	return nl_call(nl, &m, NULL);
}

static int refused_while(const char *what)
{
	int err = unload_now();

	return err == -EAGAIN ? 0 :
	       fail("unloading while %s: %s, not refused", what,
		    strerror(-err));
}

static int live_start(struct live *l)
{
	char words[96];
	int err;

	l->nl = nl_open();
	l->events = nl_open_events();
	if (l->nl < 0 || l->events < 0)
		return fail("netlink: %d %d", l->nl, l->events);
	err = attach(l->nl) ?: pins_set(l->nl, &l->vault, NULL, NULL) ?:
	      kek_make(l->nl, &l->vault, NULL, &l->kek);
	if (err)
		return fail("attach, pins, KEK: %s", strerror(-err));
	snprintf(words, sizeof(words), "new kek=%s use=xts", l->kek.name);
	err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, l->blob, &l->dek);
	if (err)
		return fail("vault-dek: %s", strerror(-err));
	l->handle = request_key("vault-kek", l->kek.name, "",
				KEY_SPEC_PROCESS_KEYRING);
	return l->handle < 0 ? fail("vault-kek: %m") : 0;
}

static int with_transform(const struct live *l)
{
	uint8_t blob[VAULTRING_BLOB_SIZE], iv[16] = {}, page[512] = {};
	char words[96];
	int fd, op, err;

	snprintf(words, sizeof(words), "new kek=%s use=%s bits=%d",
		 l->kek.name, alg_mode()->use, alg_mode()->bits);
	err = dek_new(words, KEY_SPEC_PROCESS_KEYRING, blob, NULL);
	fd = err ? err : alg_open(alg_mode()->alg);
	if (fd < 0 || alg_setkey(fd, blob, sizeof(blob)))
		return fail("a transform: %d", fd);
	op = alg_op(fd);
	err = alg_crypt(op, 1, iv, page, page, sizeof(page));
	if (err)
		return fail("a transform: %s", strerror(-err));
	close(op);
	err = refused_while("a transform is keyed");
	close(fd);
	return err;
}

static int with_volume(const struct live *l)
{
	char hex[2 * VAULTRING_BLOB_SIZE + 1], out[256];
	int err;

	hex_of(l->blob, sizeof(l->blob), hex);
	if (run(out, sizeof(out),
		"dmsetup create modlife --table "
		"'0 64 crypt capi:xts(paes)-plain64 %s 0 " DISK " 0' 2>&1",
		hex))
		return fail("dmsetup create: %s", out);
	err = refused_while("a volume is open");
	if (run(out, sizeof(out),
		"dd if=/dev/mapper/modlife of=/dev/null bs=4k count=1 iflag=direct 2>&1"))
		err = fail("the volume after that: %s", out);
	if (run(out, sizeof(out),
		"dmsetup remove --retry modlife 2>&1"))
		err = fail("dmsetup remove: %s", out);
	return err;
}

/* Another task asks us, the daemon, for a KEK and waits. */
static int with_waiter(const struct live *l)
{
	struct nl_reply r;
	struct nl_msg m;
	int err, cmd = 0, status;
	pid_t pid = fork();

	if (!pid)
		_exit(request_key("vault-kek", "nobody", "",
				  KEY_SPEC_PROCESS_KEYRING) < 0 ?
		      errno : 0);
	err = nl_wait(l->nl, &r, 10000, &cmd);
	if (err || cmd != VAULTRING_CMD_KEK_REQUEST)
		return fail("no request comes: %d, command %d", err, cmd);
	err = refused_while("a task waits for the daemon");
	nl_start(&m, VAULTRING_CMD_REQUEST_FAIL, 0);
	nl_put_u64(&m, VAULTRING_A_REQUEST, nl_u64(&r, VAULTRING_A_REQUEST));
	nl_put_u32(&m, VAULTRING_A_ERROR, EACCES);
	if (nl_call(l->nl, &m, NULL))
		err = fail("the request cannot be answered");
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != EACCES)
		err = fail("the waiting task: status %x", status);
	return err;
}

/* Keys keep the module from nothing: they die with it and lie still. */
static int keys_are_dead(const struct live *l)
{
	const key_serial_t keys[] = { l->dek, l->handle };
	char buf[512];
	size_t i;

	for (i = 0; i < 2; i++) {
		if (keyctl_read(keys[i], buf, sizeof(buf)) >= 0)
			return fail("key %d can be read without its type",
				    keys[i]);
		if (keyctl_update(keys[i], "rewrap kek=x", 12) >= 0)
			return fail("key %d can be updated without its type",
				    keys[i]);
		if (keyctl_describe(keys[i], buf, sizeof(buf)) > 0 &&
		    !strncmp(buf, "vault-", 6))
			return fail("key %d is still described as %s", keys[i],
				    buf);
	}
	if (add_key("vault-dek", "dead", "new kek=x use=xts", 17,
		    KEY_SPEC_PROCESS_KEYRING) >= 0 || errno != ENODEV)
		return fail("add_key without the module: %m");
	return 0;
}

/* In a child of its own, whose keyrings go with it. */
static int live_round(int i)
{
	struct live l = {};
	int err = load();

	if (err)
		return fail("loading: %s", strerror(-err));
	if (soft_vault_make(&l.vault) || live_start(&l) ||
	    with_transform(&l) || with_waiter(&l) ||
	    (i % 5 == 0 && with_volume(&l)))
		return -1;
	if (i % 2) {
		if (kek_revoke(l.nl, &l.kek))
			return fail("the KEK cannot be revoked");
		close(l.nl);
		close(l.events);
	}
	err = unload();
	if (err)
		return fail("unloading under keys%s: %s",
			    i % 2 ? "" : " and open sockets", strerror(-err));
	soft_vault_free(&l.vault);
	return keys_are_dead(&l) ? -1 : nothing_left();
}

static int cmd_live(int rounds)
{
	double start = seconds();
	int i, status;
	pid_t pid;

	for (i = 0; i < rounds; i++) {
		pid = fork();
		if (!pid)
			_exit(own_session() || live_round(i) ? 1 : 0);
		if (waitpid(pid, &status, 0) != pid || status)
			return fail("round %d: status %x", i, status);
	}
	printf("%d rounds with everything in use: %.1f s\n", rounds,
	       seconds() - start);
	return nothing_left();
}

/*
 * Loading and unloading against those who use it
 */

static int racer_load(void)
{
	int err = load();

	usleep(rand() % 20000);
	return err;
}

/* Meanwhile a KEK can be made, which takes longer on a debug kernel. */
static int racer_unload(void)
{
	usleep(rand() % (patience(4) * 100000));
	return unload_now();
}

static int racer_keys(void)
{
	static key_serial_t key = -1;
	char buf[512];

	keyctl_read(key, buf, sizeof(buf));
	keyctl_describe(key, buf, sizeof(buf));
	/* In its place there would be none: it is not to be replaced. */
	keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
	key = add_key("vault-dek", "race", "new kek=race use=xts", 20,
		      KEY_SPEC_PROCESS_KEYRING);
	if (key >= 0 && keyctl_read(key, buf, sizeof(buf)) !=
	    VAULTRING_BLOB_SIZE)
		errno = EKEYREVOKED;	/* it went in between */
	return key < 0 ? -errno : 0;
}

/* For as long as there is the KEK: the module may go in the middle of one. */
static int racer_updates(void)
{
	key_serial_t key = add_key("vault-dek", "updated", "new kek=race use=xts",
				   20, KEY_SPEC_PROCESS_KEYRING);
	int count = 0;

	if (key < 0)
		return -errno;
	while (!keyctl_update(key, "rewrap kek=race", 15))
		count++;
	keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
	return count ? 0 : -ENOKEY;
}

static int racer_requests(void)
{
	key_serial_t key = request_key("vault-kek", "race", "",
				       KEY_SPEC_PROCESS_KEYRING);
	char buf[512];

	if (key >= 0)
		return keyctl_read(key, buf, sizeof(buf)) < 0 ? -errno : 0;
	/* The keyring remembers a "no" for a second. */
	keyctl_clear(KEY_SPEC_PROCESS_KEYRING);
	return -ENOKEY;
}

static int racer_algorithms(void)
{
	const uint8_t junk[VAULTRING_BLOB_SIZE] = { 'V', 'R', 'K', '1' };
	int err = alg_try(alg_mode()->alg, junk, sizeof(junk));

	/* It was there and refused this as a blob. */
	return err == -EINVAL ? 0 : err;
}

static int racer_netlink(void)
{
	static struct soft_vault vault;
	const struct kek_options options = { .name = "race" };
	struct nl_msg m;
	struct kek kek;
	int err, nl = nl_open();

	if (nl < 0)
		return nl;
	err = vault.key ? 0 : soft_vault_make(&vault);
	err = err ?: pins_set(nl, &vault, NULL, NULL) ?:
	      kek_make(nl, &vault, &options, &kek);
	if (!err) {
		nl_start(&m, VAULTRING_CMD_KEK_GET, 0x300 /* NLM_F_DUMP */);
		err = nl_call(nl, &m, NULL) ?: attach(nl);
		usleep(100000);
		kek_revoke(nl, &kek);
	}
	close(nl);
	return err;
}

static const struct {
	const char *name;
	int (*once)(void);
} racers[] = {
	{ "load", racer_load },
	{ "unload", racer_unload },
	{ "new vault-deks", racer_keys },
	{ "vault-deks wrapped anew", racer_updates },
	{ "requests of vault-keks", racer_requests },
	{ "keyed transforms", racer_algorithms },
	{ "KEKs made, dumps, attaching", racer_netlink },
};

#define RUNS_MIN 3
#define RACERS (sizeof(racers) / sizeof(racers[0]))

static int all_ran(const volatile long *good)
{
	size_t i;

	for (i = 0; i < RACERS; i++)
		if (good[i] < RUNS_MIN)
			return 0;
	return 1;
}

/* On a slow machine as long as it takes until each has had its runs. */
static void race(size_t i, int duration, volatile long *good)
{
	double start = seconds();

	srand(i);
	if (own_session())
		_exit(1);
	while (seconds() < start + duration ||
	       (!all_ran(good) && seconds() < start + 10 * duration)) {
		good[i] += !racers[i].once();
		usleep(5000);
	}
	_exit(0);
}

static int cmd_race(int duration)
{
	volatile long *good = mmap(NULL, sizeof(long) * RACERS,
				   PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, err = 0;
	pid_t pid[RACERS];
	size_t i;

	if (good == MAP_FAILED)
		return fail("mmap: %m");
	alg_mode();
	for (i = 0; i < RACERS; i++) {
		pid[i] = fork();
		if (!pid[i])
			race(i, duration, good);
	}
	for (i = 0; i < RACERS; i++) {
		if (waitpid(pid[i], &status, 0) != pid[i] || status)
			err = fail("%s: status %x", racers[i].name, status);
		printf("%s: %ld times\n", racers[i].name, good[i]);
		/* A race that nobody ran shows nothing. */
		if (good[i] < RUNS_MIN)
			err = fail("%s: only %ld times", racers[i].name,
				   good[i]);
	}
	unload();
	return err ? err : nothing_left();
}

int main(int argc, char *argv[])
{
	int count = argc == 3 ? atoi(argv[2]) : 0;

	if (count <= 0 || find_module())
		return 2;
	setvbuf(stdout, NULL, _IONBF, 0);
	if (!strcmp(argv[1], "reload"))
		return cmd_reload(count) ? 1 : 0;
	if (!strcmp(argv[1], "live"))
		return cmd_live(count) ? 1 : 0;
	if (!strcmp(argv[1], "race"))
		return cmd_race(count) ? 1 : 0;
	return 2;
}
