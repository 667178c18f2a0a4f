// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring kek create: make a KEK, pin it and have its envelope stored
 *
 * The daemon is not trusted with this.  Anybody can make an envelope for a
 * vault's public key around a KEK that they know, so the envelope comes from the
 * kernel, which takes pinned public keys only, and the id that is pinned is the
 * one that the kernel says.  The daemon is asked for the public keys and handed
 * the envelope; another one under that name is of no use from then on.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "cli.h"

#define BLOB_USES	(1U << VAULTRING_USE_XTS | 1U << VAULTRING_USE_CBC | \
			 1U << VAULTRING_USE_CTR | 1U << VAULTRING_USE_GCM | \
			 1U << VAULTRING_USE_FSCRYPT | 1U << VAULTRING_USE_HMAC)

/* --- options: NULL, or what is wrong --- */

const char *spec_add_vault(struct kek_spec *spec, const char *arg)
{
	if (!vault_ref_ok(arg))
		return "--vault takes VAULT or VAULT:KEY";
	if (spec->n_shares == VAULTRING_MAX_SHARES)
		return "--vault may be given 8 times";
	spec->shares[spec->n_shares++].vault = arg;
	return NULL;
}

/* "xts,fscrypt" */
static const char *add_uses(struct kek_spec *spec, char *list)
{
	char *word, *rest;

	for (word = strtok_r(list, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		if (!use_number(word))
			return "--use takes xts, cbc, ctr, gcm, fscrypt, hmac and transport";
		spec->uses |= 1U << use_number(word);
	}
	return NULL;
}

static bool parse_number(const char *arg, unsigned long max, unsigned long *n)
{
	char *end;

	errno = 0;
	*n = strtoul(arg, &end, 10);
	return *arg >= '0' && *arg <= '9' && !*end && !errno && *n <= max;
}

static const char *add_uid(struct kek_spec *spec, const char *arg)
{
	const struct passwd *user = getpwnam(arg);
	unsigned long id;

	/* The highest number means "none". */
	if (!user && !parse_number(arg, UINT32_MAX - 1, &id))
		return "--uid: no such user";
	if (spec->n_uids == VAULTRING_MAX_SUBJECTS)
		return "--uid may be given 8 times";
	spec->uids[spec->n_uids++] = user ? user->pw_uid : (uint32_t)id;
	return NULL;
}

static const char *add_gid(struct kek_spec *spec, const char *arg)
{
	const struct group *group = getgrnam(arg);
	unsigned long id;

	if (!group && !parse_number(arg, UINT32_MAX - 1, &id))
		return "--gid: no such group";
	if (spec->n_gids == VAULTRING_MAX_SUBJECTS)
		return "--gid may be given 8 times";
	spec->gids[spec->n_gids++] = group ? group->gr_gid : (uint32_t)id;
	return NULL;
}

static const char *set_date(uint64_t *date, const char *arg)
{
	struct tm tm = { 0 };
	const char *end = strptime(arg, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t seconds;

	if (!end) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(arg, "%Y-%m-%d", &tm);
	}
	if (end && *end == 'Z')
		end++;
	if (!end || *end)
		return "dates look like 2030-01-31 or 2030-01-31T08:00:00 (UTC)";
	seconds = timegm(&tm);
	/* In the envelope 0 means that there is no bound. */
	if (seconds <= 0)
		return "dates begin in 1970";
	*date = (uint64_t)seconds;
	return NULL;
}

static const char *set_lease(struct kek_spec *spec, const char *arg)
{
	uint64_t usec;

	if (duration_parse(arg, &usec) || usec < 1000000 ||
	    usec / 1000000 > UINT32_MAX)
		return "--lease takes a time such as 90s, 24h or 7d";
	spec->lease = (uint32_t)(usec / 1000000);
	return NULL;
}

static const char *set_lease_end(struct kek_spec *spec, const char *arg)
{
	if (!strcmp(arg, "keep"))
		spec->lease_end = VAULTRING_LEASE_END_KEEP;
	else if (!strcmp(arg, "kill"))
		spec->lease_end = VAULTRING_LEASE_END_KILL;
	else
		return "--on-lease-end takes keep or kill";
	return NULL;
}

const char *spec_set_threshold(struct kek_spec *spec, const char *arg)
{
	unsigned long k;

	if (!parse_number(arg, VAULTRING_MAX_SHARES, &k) || !k)
		return "--threshold takes a number from 1 to 8";
	spec->threshold = (uint32_t)k;
	return NULL;
}

static const char *take_option(int opt, char *arg, struct kek_spec *spec)
{
	switch (opt) {
	case 'v':
		return spec_add_vault(spec, arg);
	case 'k':
		return spec_set_threshold(spec, arg);
	case 'u':
		return add_uses(spec, arg);
	case 'l':
		return set_lease(spec, arg);
	case 'e':
		return set_lease_end(spec, arg);
	case 'U':
		return add_uid(spec, arg);
	case 'G':
		return add_gid(spec, arg);
	case 'b':
		return set_date(&spec->not_before, arg);
	default:
		return set_date(&spec->not_after, arg);
	}
}

const char *spec_check_threshold(struct kek_spec *spec)
{
	/* One of two and two of two are not alike: nobody should get either. */
	if (!spec->threshold && spec->n_shares > 1)
		return "with several vaults, say with --threshold how many of them an unseal needs";
	if (!spec->threshold)
		spec->threshold = 1;
	if (spec->threshold > spec->n_shares)
		return "--threshold is higher than the number of vaults";
	return NULL;
}

static const char *take_rest(struct kek_spec *spec, int argc, char *argv[])
{
	const char *why;

	if (optind + 1 != argc)
		return "give one name";
	spec->name = argv[optind];
	if (!name_ok(spec->name))
		return "a name has 1 to 63 of A-Z a-z 0-9 . _ -";
	if (!spec->n_shares)
		return "give a vault with --vault";
	why = spec_check_threshold(spec);
	if (why)
		return why;
	if (spec->not_after && spec->not_after <= spec->not_before)
		return "--not-after is not after --not-before";
	if (!spec->uses)
		spec->uses = BLOB_USES;
	return NULL;
}

/* --- making and pinning; each says why not --- */

static int check_not_stored(const char *name)
{
	struct daemon_error error;
	json_t *keks = daemon_keks(&error);
	bool stored = find_kek(keks, name, NULL);

	if (!keks)
		say_error("%s", error.message);
	else if (stored)
		say_error("kek %s: exists already; try: vaultring kek show %s",
			  name, name);
	json_decref(keks);
	return !keks || stored ? -EEXIST : 0;
}

static int check_not_pinned(const struct pins *pins, const char *name)
{
	char id[ID_HEX];

	if (!pins_have_kek(pins, name, id))
		return 0;
	say_error("kek %s: " PINS_FILE " holds this name for id %s; take "
		  "another name, or remove that line and run: "
		  "vaultring vault pin --load", name, id);
	return -EEXIST;
}

/* Or a vault would count as two. */
static int check_another_key(const struct kek_spec *spec, size_t i)
{
	size_t j;

	for (j = 0; j < i; j++) {
		if (strcmp(spec->shares[i].key.fingerprint,
			   spec->shares[j].key.fingerprint))
			continue;
		say_error("kek %s: %s and %s are the same vault key; each "
			  "share needs one of its own", spec->name,
			  spec->shares[j].vault, spec->shares[i].vault);
		return -EINVAL;
	}
	return 0;
}

/* The daemon sees the secrets of clear shares: alone they must not do. */
static int check_clear(const struct kek_spec *spec)
{
	size_t i, clear = 0;

	for (i = 0; i < spec->n_shares; i++)
		clear += spec->shares[i].key.method == VAULTRING_METHOD_CLEAR;
	if (clear < spec->threshold)
		return 0;
	say_error("kek %s: %zu of its vaults give clear shares, which "
		  "vaultringd sees; --threshold must be higher than that, with "
		  "an oblivious or sealed vault beside them", spec->name, clear);
	return -EINVAL;
}

/* What the kernel would refuse is said here, where it can be said well. */
int spec_ask_public_keys(const struct pins *pins, struct kek_spec *spec)
{
	size_t i;

	for (i = 0; i < spec->n_shares; i++) {
		const char *vault = spec->shares[i].vault;
		struct public_key *key = &spec->shares[i].key;

		if (vault_public_key(vault, key))
			return -EIO;
		if (check_another_key(spec, i))
			return -EINVAL;
		if (pins_have_vault(pins, key->fingerprint)) {
			if (key->symmetric && vault_wrap(vault, key))
				return -EIO;
			continue;
		}
		say_error("vault %s: its public key is not trusted on this "
			  "machine yet (SHA-256 %s); if it is the right one: "
			  "vaultring vault pin %s", vault, key->fingerprint,
			  vault);
		return -EACCES;
	}
	return check_clear(spec);
}

void spec_wipe(struct kek_spec *spec)
{
	size_t i;

	for (i = 0; i < spec->n_shares; i++)
		explicit_bzero(&spec->shares[i].key.given,
			       sizeof(spec->shares[i].key.given));
}

static int make_envelope(const struct kek_spec *spec, struct kek_made *made)
{
	int err = kernel_kek_create(spec, made);

	if (err == -EACCES && spec->n_shares == 1)
		say_error("kek %s: the kernel does not trust the public key of "
			  "vault %s (SHA-256 %s); try: vaultring vault pin %s",
			  spec->name, spec->shares[0].vault,
			  spec->shares[0].key.fingerprint,
			  spec->shares[0].vault);
	else if (err)
		say_error("kek %s: the kernel refused to make it: %s",
			  spec->name, kernel_error());
	return err;
}

static int unpin(struct pins *pins, const char *name, const char *id)
{
	int err = pins_remove_kek(pins, name, id);

	if (!err)
		err = pins_load(pins);
	if (err)
		say_error("kek %s: does not exist, but its name stays pinned; "
			  "remove the line `kek %s %s` from " PINS_FILE
			  " and run: vaultring vault pin --load", name, name, id);
	return err;
}

static int pin(struct pins *pins, const char *name, const char *id)
{
	int err = pins_add(pins, "kek", name, id);

	if (err)
		return err;
	err = pins_load(pins);
	if (err)
		unpin(pins, name, id);
	return err;
}

/* The pins are ours alone from the check of the name to its pin. */
static int make(struct kek_spec *spec, struct kek_made *made)
{
	struct pins pins;
	int err = check_not_stored(spec->name);

	if (err || pins_read(&pins, true))
		return -1;
	err = check_not_pinned(&pins, spec->name) ?:
	      spec_ask_public_keys(&pins, spec) ?:
	      pins_load(&pins) ?:
	      make_envelope(spec, made) ?:
	      pin(&pins, spec->name, made->id);
	pins_free(&pins);
	return err;
}

/* --- storing --- */

/*
 * The daemon has stored the envelope and could not unseal it, or it has not
 * stored it.  Then the KEK does not exist, and its pin would block the name.
 */
static void settle_pin(const char *name, const char *id)
{
	struct daemon_error error;
	json_t *keks = daemon_keks(&error);
	struct pins pins;

	if (!keks)
		say_error("kek %s: stays pinned to its id %s, for it is not known "
			  "whether its envelope was stored; see: "
			  "vaultring kek show %s", name, id, name);
	else if (find_kek(keks, name, id))
		say_note("kek %s: pinned to its id %s", name, id);
	else if (!pins_read(&pins, true)) {
		unpin(&pins, name, id);
		pins_free(&pins);
	}
	json_decref(keks);
}

static int store(const char *name, const struct kek_made *made)
{
	char base64[(VAULTRING_MAX_ENVELOPE + 2) / 3 * 4 + 1];
	struct daemon_error error;
	const char *path;
	json_t *reply;

	EVP_EncodeBlock((uint8_t *)base64, made->envelope, (int)made->len);
	reply = daemon_try("vaultring.KekStore",
			   json_pack("{s:s, s:s}", "name", name, "envelope",
				     base64), &error);
	if (!reply) {
		say_error("%s", error.message);
		settle_pin(name, made->id);
		return FAILED;
	}
	path = json_string_value(json_object_get(reply, "envelope"));
	printf("kek %s: made, unsealed and pinned\nid       %s\n"
	       "envelope %s (no secret in it: back it up)\n", name, made->id,
	       path ? path : "-");
	json_decref(reply);
	return DONE;
}

int kek_create(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "vault", required_argument, NULL, 'v' },
		{ "threshold", required_argument, NULL, 'k' },
		{ "use", required_argument, NULL, 'u' },
		{ "lease", required_argument, NULL, 'l' },
		{ "on-lease-end", required_argument, NULL, 'e' },
		{ "uid", required_argument, NULL, 'U' },
		{ "gid", required_argument, NULL, 'G' },
		{ "not-before", required_argument, NULL, 'b' },
		{ "not-after", required_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct kek_spec spec = {
		.version = 1,
		.lease_end = VAULTRING_LEASE_END_KEEP,
	};
	const char *why = NULL;
	struct kek_made made;
	int opt, err;

	while (!why && (opt = verb_getopt(verb, argc, argv, options))) {
		if (!strchr("vkuleUGba", opt))
			return verb_option_exit(verb, opt);
		why = take_option(opt, optarg, &spec);
	}
	if (!why)
		why = take_rest(&spec, argc, argv);
	if (why)
		return verb_usage(verb, "%s", why);
	if (!need_root(verb))
		return FAILED;
	err = make(&spec, &made);
	spec_wipe(&spec);
	return err ? FAILED : store(spec.name, &made);
}
