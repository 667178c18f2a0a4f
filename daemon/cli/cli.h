/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vaultring(1): what its files share, grouped by file
 *
 * The tool handles names, blobs and envelopes.  There is no key in the clear in
 * any of its interfaces.  What has to be wiped is a new clear share of a symmetric
 * vault key, see struct public_key.
 */
#ifndef VAULTRING_CLI_H
#define VAULTRING_CLI_H

#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <linux/vaultring.h>
#include <linux/vaultring_format.h>

#include "../kept.h"
#include "../share.h"
#include "../util.h"

#ifndef VAULTRING_CONF_DIR
#define VAULTRING_CONF_DIR	"/etc/vaultring"
#endif
#ifndef VAULTRING_SOCKET
#define VAULTRING_SOCKET	"/run/vaultring/vaultringd.sock"
#endif
#define CONF_FILE		VAULTRING_CONF_DIR "/vaultring.conf"
#define PINS_FILE		VAULTRING_CONF_DIR "/pins"

#define ID_HEX			(2 * VAULTRING_ID_SIZE + 1)

/* Exit statuses */
enum { DONE = 0, FAILED = 1, USAGE = 2 };

/* vaultring.c: a verb is a line in a table; the usage text is the table. */
struct verb {
	const char *name;
	int (*run)(const struct verb *verb, int argc, char *argv[]);
	const char *args;
	const char *help;
	const char *options;		/* one per line, or NULL */
	const struct verb *sub;		/* ended by a NULL name, or NULL */
	const char *group;		/* set while dispatching */
};

int verb_group(const struct verb *verb, int argc, char *argv[]);
int verb_usage(const struct verb *verb, const char *why, ...)
	__attribute__((format(printf, 2, 3)));
/* The next option, 0 after the last; on 'h' or '?' return verb_option_exit(). */
int verb_getopt(const struct verb *verb, int argc, char *argv[],
		const struct option *options);
int verb_option_exit(const struct verb *verb, int opt);
bool need_root(const struct verb *verb);

extern const struct verb verb_vault[], verb_kek[], verb_dek[], verb_luks[],
	verb_fscrypt[];
int cmd_status(const struct verb *verb, int argc, char *argv[]);
extern const struct verb verb_transport[];
int cmd_doctor(const struct verb *verb, int argc, char *argv[]);

/* print.c: what people and programs read */
void say_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void say_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int print_json(json_t *stolen);

#define TABLE_COLUMNS 10
struct table {
	int columns, rows;
	char **cells;
};
/* One string a column, ended by NULL; the first row is the heading. */
void table_row(struct table *table, ...) __attribute__((sentinel));
void table_print(struct table *table);	/* and free it */

const char *format_lease(char *buf, size_t size, const json_t *seconds);
const char *format_time(char *buf, size_t size, int64_t seconds);
char *format_list(const json_t *array, const char *empty);	/* to free */

const char *use_name(unsigned int use);	/* NULL: no such use */
unsigned int use_number(const char *name);	/* 0: no such use */
json_t *use_list(uint32_t mask);

/* client.c: the daemon's socket; all calls are bounded */
struct daemon_error {
	int err;			/* ECONNREFUSED, ENOENT: not running */
	char message[4096];
};

/* What a step of a call may take; milliseconds. */
uint32_t daemon_timeout(void);
json_t *daemon_try(const char *method, json_t *stolen_params,
		   struct daemon_error *error);
/* The same, and say what went wrong. */
json_t *daemon_call(const char *method, json_t *stolen_params);
json_t *daemon_vaults(struct daemon_error *error);
json_t *daemon_keks(struct daemon_error *error);
int daemon_kek_unseal(const char *name, json_int_t version);
/* How long anything may be waited for, in milliseconds, as vaultring.conf says. */
uint32_t tools_timeout(void);

/* kernel.c: the module's netlink family; 0 or a negative errno */
struct kernel_status {
	char version[32];
	bool attached;
	uint32_t keks, unseals;
};

const char *kernel_error(void);	/* why the last call failed, in words */
int kernel_status(struct kernel_status *status);
json_t *kernel_keks(int *err);	/* array, or NULL and *err */
int kernel_revoke(const char *name, uint32_t *transforms);

/* What a share is made for. */
struct public_key {
	uint32_t method;		/* enum vaultring_method */
	/*
	 * DER; of a sealed one what was released, wrapped for the kernel; of a
	 * symmetric one its identity, ended by a zero
	 */
	uint8_t data[VAULTRING_MAX_PUBLIC_KEY + 1];
	size_t len;
	uint32_t hash;			/* of a sealed one */
	bool symmetric;
	/* Of a symmetric one, once the vault has been asked; to be wiped. */
	struct share_wrapped given;
	char fingerprint[FINGERPRINT_HEX];
};

struct kek_spec {
	const char *name;
	uint32_t version, uses, lease, threshold;
	enum vaultring_lease_end lease_end;
	uint64_t not_before, not_after;		/* 0: unbounded */
	uint32_t uids[VAULTRING_MAX_SUBJECTS], gids[VAULTRING_MAX_SUBJECTS];
	size_t n_uids, n_gids, n_shares;
	struct {
		const char *vault;
		struct public_key key;
	} shares[VAULTRING_MAX_SHARES];
};

struct kek_made {
	uint8_t envelope[VAULTRING_MAX_ENVELOPE];
	size_t len;
	char id[ID_HEX];
};

/* -EACCES: one of its public keys is not pinned. */
int kernel_kek_create(const struct kek_spec *spec, struct kek_made *made);
/* Borrowed from @keks, or NULL; by @name or by @id, the one that is not NULL. */
json_t *find_kek(json_t *keks, const char *name, const char *id_hex);
/* Have the KEK active, through the daemon if need be; says why not. */
int kek_ensure(const char *name);

/* events.c: has any KEK been unsealed, revoked or come near its end? */
struct events;
struct events *events_open(void);	/* NULL: no netlink */
int events_fd(const struct events *events);	/* to poll */
/* Since the last call; true for the first, and when events were lost. */
bool events_any(struct events *events);
void events_close(struct events *events);

/* pins.c: PINS_FILE, the only truth about what root trusts */
struct pins {
	char *text;			/* the file as it is */
	size_t vaults, keks;
	int lock;			/* held while being edited, or -1 */
};

/* Says why not; no file is no pins.  @edit: nobody else may until pins_free. */
int pins_read(struct pins *pins, bool edit);
void pins_free(struct pins *pins);
bool pins_have_vault(const struct pins *pins, const char *fingerprint);
bool pins_have_kek(const struct pins *pins, const char *name, char id[ID_HEX]);
int pins_add(struct pins *pins, const char *kind, const char *name,
	     const char *hex);
/* Takes out all lines that pin that name to that id. */
int pins_remove_kek(struct pins *pins, const char *name, const char *id);
int pins_load(const struct pins *pins);
/* cmd_kek_create.c */
int kek_create(const struct verb *verb, int argc, char *argv[]);
/* NULL, or what is wrong */
const char *spec_add_vault(struct kek_spec *spec, const char *arg);
const char *spec_set_threshold(struct kek_spec *spec, const char *arg);
const char *spec_check_threshold(struct kek_spec *spec);
/*
 * Each vault's public key, which root has pinned, and with a symmetric one a share;
 * says what is wrong.  The spec has to be wiped then, see spec_wipe().
 */
int spec_ask_public_keys(const struct pins *pins, struct kek_spec *spec);
void spec_wipe(struct kek_spec *spec);
/* cmd_kek_reseal.c */
int kek_reseal(const struct verb *verb, int argc, char *argv[]);
/* The daemon's description, to be put; or NULL and why not has been said. */
json_t *kek_describe(const char *name);
/* cmd_transport_keep.c */
int transport_keep(const struct verb *verb, int argc, char *argv[]);
int transport_load(const struct verb *verb, int argc, char *argv[]);
/* cmd_kek.c */
/* *whole: the daemon has told of those that are not active too */
json_t *all_keks(bool say_why, bool *whole);
void print_keks(const json_t *keks, bool whole);
/* cmd_vault_init.c */
int vault_init(const struct verb *verb, int argc, char *argv[]);
/* cmd_vault_policy.c */
int vault_policy(const struct verb *verb, int argc, char *argv[]);
/* cmd_vault.c */
/* As vault pin does it; says what was done or why not. */
int vault_trust(const char *vault, const char *expected);
/* Adds the fingerprint if VaultCheck's reply is of a sealed key; says why not. */
int check_sealed(const char *vault, json_t *reply);
void print_vaults(const json_t *vaults);
/*
 * What the vault says its public key is, and its fingerprint computed here; or
 * by the kernel, if it is a sealed one.
 */
int vault_public_key(const char *vault, struct public_key *key);
/* Has the vault of a symmetric key make a share; says why not. */
int vault_wrap(const char *vault, struct public_key *key);
/* transport.c: sealed shares, and the kernel's key that they are for */
/* Waits until the kernel has made it; says why not. */
int transport_key(uint8_t spki[VAULTRING_MAX_PUBLIC_KEY], size_t *len);
/* 0 or a negative errno; -EAGAIN: it is being made */
int kernel_transport_get(struct public_key *key);
/* Sealed under the KEK of that id, and back. */
int kernel_transport_save(const char *kek_id, struct vaultring_transport *kept);
int kernel_transport_load(const struct vaultring_transport *kept);
/* Has the vault release its key, and the kernel say what it is; says why not. */
int sealed_key(const char *vault, struct public_key *key);
/* kernel.c, for pins_load() */
int kernel_pins_set(const struct pins *pins);
/* 1 and a pin, 0 at the end, -1 if the line is not one */
struct pin {
	bool is_kek;
	char name[VAULTRING_MAX_NAME + 1];
	char hex[FINGERPRINT_HEX];
	const char *start;		/* of its line */
	int line;
};
int pins_next(const char **at, struct pin *pin);

/* dek.c: vault-dek keys and blobs */
struct dek_info {
	const char *use;
	int bits;
	char kek_id[ID_HEX], dek_id[ID_HEX];
};

int dek_parse(const char *object, const uint8_t *blob, size_t len,
	      struct dek_info *info);
int dek_read_file(const char *path, uint8_t blob[VAULTRING_BLOB_SIZE],
		  struct dek_info *info);
int dek_new(const char *kek, const char *use, int bits,
	    uint8_t blob[VAULTRING_BLOB_SIZE]);
/*
 * A key of the blob in the process keyring; @options may be NULL.  The KEK is
 * unsealed first if it is not there.
 */
int dek_load(const char *object, const uint8_t blob[VAULTRING_BLOB_SIZE],
	     const struct dek_info *info, const char *options);

/* device.c: what is on a device, before it is overwritten */
/* @sector_size: its size must be a multiple of that; 0: whatever fits */
int device_check_free(const char *device, uint32_t sector_size);
int device_confirm_wipe(const char *device, bool yes);
int device_wipe_signatures(const char *device);

#endif /* VAULTRING_CLI_H */
