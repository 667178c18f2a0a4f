// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultringd: asks vaults what the kernel needs to unseal KEKs
 *
 * One thread, one event loop; nothing wakes up unless somebody wants something.
 * It holds no key: whoever takes it over can ask the vaults what it may ask
 * them, and can read nothing from it.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cap-ng.h>
#include <systemd/sd-daemon.h>

#include "daemon.h"
#include "log.h"
#include "secret.h"
#include "server.h"
#include "sync.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

struct options {
	const char *config, *state, *socket, *libexec, *user;
	bool no_kernel, debug;
};

static const char usage[] =
	"Usage: vaultringd [OPTION...]\n"
	"Asks vaults what the kernel needs to unseal KEKs; see vaultringd(8).\n"
	"\n"
	"  --config FILE     settings (/etc/vaultring/vaultring.conf)\n"
	"  --state FOLDER    envelopes are in its keks/ (/var/lib/vaultring)\n"
	"  --socket PATH     (/run/vaultring/vaultringd.sock)\n"
	"  --libexec FOLDER  the workers' programs (/usr/libexec/vaultring)\n"
	"  --user NAME       become that user when started as root (vaultring)\n"
	"  --no-kernel       serve the vaults only: try settings without the module\n"
	"  --debug           say more\n"
	"  --version, --help\n";

struct worker *daemon_worker(struct daemon *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->config.n_vaults; i++)
		if (!strcmp(d->config.vaults[i].name, name))
			return d->workers[i];
	return NULL;
}

/* --- privileges --- */

static int become_user(const char *name)
{
	const struct passwd *pw = getpwnam(name);

	if (!pw) {
		log_err("no user \"%s\"; try: systemd-sysusers, or --user", name);
		return -ENOENT;
	}
	/* With its supplementary groups: tokens may belong to one of them. */
	if (initgroups(name, pw->pw_gid))
		return -errno;
	capng_clear(CAPNG_SELECT_BOTH);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED |
		     CAPNG_BOUNDING_SET, CAP_NET_ADMIN);
	if (capng_change_id(pw->pw_uid, pw->pw_gid, CAPNG_CLEAR_BOUNDING)) {
		log_err("cannot become user %s", name);
		return -EPERM;
	}
	return 0;
}

/* What service managers make of root's folders, for a daemon started by hand. */
static void make_folder(const char *path, mode_t mode, const char *user)
{
	const struct passwd *pw = getpwnam(user);

	if (pw && !mkdir(path, mode) && chown(path, pw->pw_uid, pw->pw_gid))
		log_warning("%s: %m", path);
}

static int drop_privileges(const struct options *o)
{
	static const struct rlimit none;
	struct rlimit core;
	char *folder;
	int err = 0;

	umask(077);
	if (!geteuid() && *o->user) {
		make_folder(o->state, 0700, o->user);
		folder = strndup(o->socket, strrchr(o->socket, '/') ?
				 strrchr(o->socket, '/') - o->socket : 0);
		if (folder && *folder)
			make_folder(folder, 0755, o->user);
		free(folder);
		err = become_user(o->user);
	} else {
		capng_clear(CAPNG_SELECT_CAPS);
		if (!o->no_kernel)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     CAP_NET_ADMIN);
		if (capng_apply(CAPNG_SELECT_CAPS)) {
			log_err("no CAP_NET_ADMIN; start it as root, or by: systemctl start vaultringd");
			err = -EPERM;
		}
	}
	if (err)
		return err;
	if (setrlimit(RLIMIT_CORE, &none) &&
	    (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur))
		return -errno;
	/* Workers inherit nothing: see vault/sandbox.c for the rest. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) {
		log_err("cannot give up privileges: %m");
		return -errno;
	}
	return 0;
}

/* --- the kernel --- */

static int on_netlink(sd_event_source *source, int fd, uint32_t events,
		      void *arg);

static int attach(struct daemon *d)
{
	int err;

	err = netlink_open(d->config.kernel_timeout_usec, &d->nl);
	if (err)
		return err;
	err = netlink_attach(d->nl, unseal_on_request, d);
	if (err == -EBUSY)
		log_err("another vaultringd is attached to the kernel");
	else if (err)
		log_err("the kernel does not take us as its daemon: %s",
			netlink_error(d->nl));
	if (err)
		return err;
	/* Some KEKs may have been active for long. */
	sync_look(d);
	err = sd_event_add_io(d->event, &d->nl_io, netlink_fd(d->nl), EPOLLIN,
			      on_netlink, d);
	return err < 0 ? err : 0;
}

static void detach(struct daemon *d)
{
	d->nl_io = sd_event_source_disable_unref(d->nl_io);
	netlink_close(d->nl);
	d->nl = NULL;
}

/*
 * A socket that lost messages, or whose module went, is replaced: the kernel
 * repeats to the new one what is still waiting.
 */
static int on_netlink(sd_event_source *source, int fd, uint32_t events,
		      void *arg)
{
	struct daemon *d = arg;
	int err = netlink_dispatch(d->nl);

	(void)source;
	(void)fd;
	(void)events;
	if (!err)
		return 0;
	log_notice(err == -ESTALE ?
		   "the module was loaded again; ending, to be started with its pins" :
		   "attaching to the kernel anew (%s)", strerror(-err));
	detach(d);
	/* A module that was loaded again has no pins yet: a restart loads them. */
	if (err != -ESTALE)
		err = attach(d);
	if (err)
		sd_event_exit(d->event, err);
	return 0;
}

/* What a call found on its way to its reply waits for the next turn. */
static int on_post(sd_event_source *source, void *arg)
{
	struct daemon *d = arg;

	if (d->nl && netlink_pending(d->nl))
		return on_netlink(source, -1, 0, d);
	return 0;
}

/* --- the daemon --- */

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si,
		     void *arg)
{
	struct daemon *d = arg;
	size_t i;

	(void)source;
	(void)si;
	log_info("starting the workers anew; a changed vaultring.conf takes: systemctl restart vaultringd");
	for (i = 0; i < d->config.n_vaults; i++)
		worker_restart(d->workers[i]);
	return 0;
}

static int add_signals(struct daemon *d)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	/* Without a handler these two end the loop. */
	err = sd_event_add_signal(d->event, NULL, SIGTERM, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(d->event, NULL, SIGINT, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(d->event, NULL, SIGHUP, on_hangup, d);
	if (err >= 0)
		err = sd_event_add_post(d->event, NULL, on_post, d);
	if (err >= 0)
		err = sd_event_set_watchdog(d->event, 1);
	return err < 0 ? err : 0;
}

static int start_workers(struct daemon *d, const char *folder)
{
	size_t i;
	int err;

	d->workers = calloc(d->config.n_vaults + 1, sizeof(*d->workers));
	if (!d->workers)
		return -ENOMEM;
	for (i = 0; i < d->config.n_vaults; i++) {
		err = worker_new(d->event, &d->config.vaults[i], folder,
				 &d->workers[i]);
		if (err)
			return err;
	}
	if (!d->config.n_vaults)
		log_warning("no vault is configured: no KEK can be unsealed; see vaultring.conf(5)");
	return 0;
}

static int run(struct daemon *d, const struct options *o)
{
	int err;

	err = sd_event_default(&d->event);
	if (err < 0)
		return err;
	err = config_load(o->config, &d->config) ?: add_signals(d) ?:
	      store_open(o->state, &d->store) ?: start_workers(d, o->libexec) ?:
	      sync_new(d, &d->sync) ?: server_open(d, o->socket, &d->server);
	/* Last: from here on the kernel asks. */
	if (!err && !o->no_kernel)
		err = attach(d);
	if (err)
		return err;
	sd_notifyf(0, "READY=1\nSTATUS=%zu vaults", d->config.n_vaults);
	log_info("ready: %zu vaults%s", d->config.n_vaults,
		 o->no_kernel ? ", without the kernel" : "");
	err = sd_event_loop(d->event);
	sd_notify(0, "STOPPING=1");
	return err;
}

static void clean_up(struct daemon *d)
{
	size_t i;

	unseal_forget_all(d);
	sync_free(d->sync);
	d->sync = NULL;
	server_close(d->server);
	for (i = 0; d->workers && i < d->config.n_vaults; i++)
		worker_end(d->workers[i]);
	for (i = 0; d->workers && i < d->config.n_vaults; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	detach(d);
	store_close(d->store);
	config_free(&d->config);
	sd_event_unref(d->event);
}

static int parse_options(int argc, char *argv[], struct options *o)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "state", required_argument, NULL, 's' },
		{ "socket", required_argument, NULL, 'S' },
		{ "libexec", required_argument, NULL, 'l' },
		{ "user", required_argument, NULL, 'u' },
		{ "no-kernel", no_argument, NULL, 'n' },
		{ "debug", no_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'c': o->config = optarg; break;
		case 's': o->state = optarg; break;
		case 'S': o->socket = optarg; break;
		case 'l': o->libexec = optarg; break;
		case 'u': o->user = optarg; break;
		case 'n': o->no_kernel = true; break;
		case 'd': o->debug = true; break;
		case 'v':
			puts("vaultringd " VERSION);
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	return optind == argc ? 0 : -EINVAL;
}

int main(int argc, char *argv[])
{
	struct options o = {
		.config = "/etc/vaultring/vaultring.conf",
		.state = "/var/lib/vaultring",
		.socket = "/run/vaultring/vaultringd.sock",
		.libexec = "/usr/libexec/vaultring",
		.user = "vaultring",
	};
	struct daemon d = { 0 };
	int err;

	if (parse_options(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("vaultringd", o.debug);
	secret_wipe_json();
	err = drop_privileges(&o);
	if (!err)
		err = run(&d, &o);
	if (err)
		log_err("stopped: %s", strerror(-err));
	clean_up(&d);
	return err ? 1 : 0;
}
