// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring kek reseal: another envelope of a KEK, for other vaults or new keys
 *
 * As with a new KEK, root and the kernel say which vault keys a KEK is for; the
 * daemon asks the vaults of the envelope that there is and stores the new one.
 * It is not believed what that envelope says, nor whose it is: that is read from
 * the bytes that the kernel gets, which gives nothing out if they are forged.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "../envelope_store.h"
#include "cli.h"
#include "kernel_call.h"

/* The envelope that there is. */
struct former {
	uint8_t *data;
	size_t len;
	struct envelope e;
	char hash[FINGERPRINT_HEX];	/* SHA-256 of data */
};

/* --- with the kernel --- */

static json_t *challenge(struct nlattr *share)
{
	struct nlattr *a[VAULTRING_A_SHARE_MAX + 1];
	char fingerprint[FINGERPRINT_HEX];
	json_t *object;
	size_t len;
	char *hex;

	if (nla_parse_nested(a, VAULTRING_A_SHARE_MAX, share, NULL) < 0 ||
	    !a[VAULTRING_A_SHARE_INDEX] || !a[VAULTRING_A_SHARE_METHOD] ||
	    !a[VAULTRING_A_SHARE_VAULT] || !a[VAULTRING_A_SHARE_CHALLENGE] ||
	    !a[VAULTRING_A_SHARE_FINGERPRINT] ||
	    nla_len(a[VAULTRING_A_SHARE_FINGERPRINT]) != FINGERPRINT_SIZE)
		return NULL;
	len = (size_t)nla_len(a[VAULTRING_A_SHARE_CHALLENGE]);
	hex = malloc(2 * len + 1);
	if (!hex)
		return NULL;
	hex_encode(hex, nla_data(a[VAULTRING_A_SHARE_CHALLENGE]), len);
	hex_encode(fingerprint, nla_data(a[VAULTRING_A_SHARE_FINGERPRINT]),
		   FINGERPRINT_SIZE);
	object = json_pack("{s:I, s:I, s:s, s:s, s:s}", "index",
			   (json_int_t)nla_get_u32(a[VAULTRING_A_SHARE_INDEX]),
			   "method",
			   (json_int_t)nla_get_u32(a[VAULTRING_A_SHARE_METHOD]),
			   "vault", nla_get_string(a[VAULTRING_A_SHARE_VAULT]),
			   "challenge", hex, "fingerprint", fingerprint);
	free(hex);
	return object;
}

struct starting {
	struct exchange exchange;
	const struct kek_spec *spec;
	json_t *start;
};

static bool is_meant(const struct kek_spec *spec, struct nlattr **attrs)
{
	return attrs[VAULTRING_A_NAME] && attrs[VAULTRING_A_VERSION] &&
	       !nla_strcmp(attrs[VAULTRING_A_NAME], spec->name) &&
	       nla_get_u32(attrs[VAULTRING_A_VERSION]) == spec->version;
}

static void take_start(struct nlattr **attrs, void *arg)
{
	struct starting *s = arg;
	json_t *shares;
	struct nlattr *a;
	int left;

	if (!attrs[VAULTRING_A_UNSEAL] || !attrs[VAULTRING_A_DEADLINE_MS] ||
	    !is_meant(s->spec, attrs))
		return;
	shares = json_array();
	/* Of a repeated attribute, attrs[] has the last one only. */
	nla_for_each_attr(a, genlmsg_attrdata(s->exchange.reply, 0),
			  genlmsg_attrlen(s->exchange.reply, 0), left)
		if (nla_type(a) == VAULTRING_A_SHARE)
			json_array_append_new(shares, challenge(a));
	s->start = json_pack("{s:I, s:I, s:o}", "unseal",
			     (json_int_t)nla_get_u64(attrs[VAULTRING_A_UNSEAL]),
			     "deadline_ms", (json_int_t)nla_get_u32(
				     attrs[VAULTRING_A_DEADLINE_MS]),
			     "shares", shares);
}

static int put_start(struct nl_msg *msg, const struct kek_spec *spec,
		     const struct former *former)
{
	return nla_put(msg, VAULTRING_A_ENVELOPE, (int)former->len,
		       former->data) ?:
	       nla_put_string(msg, VAULTRING_A_NAME, spec->name) ?:
	       nla_put_u32(msg, VAULTRING_A_VERSION, spec->version) ?:
	       nla_put_u32(msg, VAULTRING_A_DEADLINE_MS, daemon_timeout()) ?:
	       kernel_put_shares(msg, spec);
}

/* What to ask the vaults of the envelope that there is; says why not. */
static json_t *start(const struct kek_spec *spec, const struct former *former)
{
	struct starting s = {
		.exchange = { .valid = take_start, .arg = &s }, .spec = spec,
	};
	int err = kernel_begin(&s.exchange, VAULTRING_CMD_RESEAL_START, 0);

	if (!err && put_start(s.exchange.msg, spec, former))
		err = kernel_set_error(-EMSGSIZE, "its envelope is too long");
	if (!err)
		err = kernel_finish(&s.exchange);
	kernel_drop(&s.exchange);
	if (!err && !s.start)
		err = kernel_set_error(-EPROTO, "the module's answer holds no challenges for it; "
				"are module and tools of the same version?");
	if (!err)
		return s.start;
	say_error("kek %s: the kernel refused to reseal it: %s", spec->name,
		  kernel_error());
	json_decref(s.start);
	return NULL;
}

/* --- the KEK that there is --- */

json_t *kek_describe(const char *name)
{
	struct daemon_error error;
	json_t *keks = daemon_keks(&error);
	json_t *kek = find_kek(keks, name, NULL);

	if (!keks)
		say_error("%s", error.message);
	else if (!kek)
		say_error("kek %s: there is none; try: vaultring kek list",
			  name);
	json_incref(kek);
	json_decref(keks);
	return kek;
}

/* Whose it is and what it says, by its own bytes; says why not. */
static int parse_envelope(const char *name, const char *path,
			  struct former *former)
{
	const char *damage = envelope_parse(former->data, former->len,
					    &former->e);
	uint8_t hash[FINGERPRINT_SIZE];

	if (!damage && strcmp(former->e.name, name))
		damage = "it is that of another KEK";
	if (!damage && sha256(former->data, former->len, hash))
		damage = "out of memory";
	if (!damage) {
		hex_encode(former->hash, hash, sizeof(hash));
		return 0;
	}
	say_error("kek %s: its envelope %s is damaged: %s; restore it from a "
		  "backup", name, path, damage);
	free(former->data);
	return -EKEYREJECTED;
}

/* Says why not. */
static int read_envelope(const char *name, struct former *former)
{
	json_t *kek = kek_describe(name);
	const char *path = json_string_value(json_object_get(kek, "envelope"));
	int err;

	if (!kek)
		return -ENOKEY;
	err = path ? file_read(AT_FDCWD, path, VAULTRING_MAX_ENVELOPE,
			       &former->data, &former->len) : -ENOENT;
	if (err)
		say_error("kek %s: cannot read its envelope %s: %s", name,
			  path ? path : "", strerror(-err));
	else
		err = parse_envelope(name, path, former);
	json_decref(kek);
	return err;
}

/* Without --vault: the same as now, for their newest keys. */
static const char *take_vaults(struct kek_spec *spec, const struct envelope *e)
{
	const char *why = NULL;
	size_t i;

	for (i = 0; i < e->n_shares; i++)
		why = why ?: spec_add_vault(spec, e->shares[i].vault);
	if (!spec->threshold)
		spec->threshold = e->threshold;
	return why ?: spec_check_threshold(spec);
}

/* --- all of it --- */

static json_t *ask_daemon(const struct kek_spec *spec,
			  const struct former *former, json_t *params)
{
	struct daemon_error error;
	json_t *reply;

	json_object_set_new(params, "name", json_string(spec->name));
	json_object_set_new(params, "version", json_integer(spec->version));
	json_object_set_new(params, "former", json_string(former->hash));
	reply = daemon_try("vaultring.KekReseal", params, &error);
	if (reply)
		return reply;
	say_error("%s", error.message);
	if (error.err == ETIMEDOUT || error.err == ECONNRESET)
		say_note("kek %s: whether it was resealed is not known; see: "
			 "vaultring kek show %s", spec->name, spec->name);
	return NULL;
}

static int have_done(const struct kek_spec *spec, const struct former *former,
		     json_t *params)
{
	json_t *reply = ask_daemon(spec, former, params);
	size_t i;

	if (!reply)
		return FAILED;
	printf("kek %s: resealed for", spec->name);
	if (spec->n_shares > 1)
		printf(" %u of", spec->threshold);
	for (i = 0; i < spec->n_shares; i++)
		printf("%s %s", i ? "," : "", spec->shares[i].vault);
	printf("\nid       %s\nenvelope %s (no secret in it: back it up)\n",
	       json_string_value(json_object_get(reply, "id")),
	       json_string_value(json_object_get(reply, "envelope")));
	json_decref(reply);
	return DONE;
}

/* Others may have changed them while the vaults were asked. */
static int load_pins_anew(struct pins *pins)
{
	pins_free(pins);
	return pins_read(pins, true) ?: pins_load(pins);
}

static int reseal(struct kek_spec *spec, const struct former *former)
{
	json_t *params = NULL;
	struct pins pins;

	if (pins_read(&pins, false))
		return FAILED;
	spec->version = former->e.version;
	if (!spec_ask_public_keys(&pins, spec) && !load_pins_anew(&pins))
		params = start(spec, former);
	pins_free(&pins);
	spec_wipe(spec);
	return params ? have_done(spec, former, params) : FAILED;
}

static int reseal_named(const struct verb *verb, struct kek_spec *spec)
{
	const char *why = NULL;
	struct former former;
	int ret;

	if (read_envelope(spec->name, &former))
		return FAILED;
	if (!spec->n_shares)
		why = take_vaults(spec, &former.e);
	ret = why ? verb_usage(verb, "%s", why) : reseal(spec, &former);
	free(former.data);
	return ret;
}

/* --- whatever has a newer key --- */

/* A name stands for its latest version. */
static bool has_newer(json_t *keks, const json_t *kek)
{
	const char *name = json_string_value(json_object_get(kek, "name"));

	return name && json_is_true(json_object_get(kek, "newer")) &&
	       find_kek(keks, name, NULL) == kek;
}

static int pin_vaults(const json_t *kek)
{
	const char *ref;
	json_t *vault;
	size_t i;

	json_array_foreach(json_object_get(kek, "vaults"), i, vault) {
		ref = json_string_value(vault);
		/* It becomes part of a line of the file. */
		if (!ref || !vault_ref_ok(ref)) {
			say_error("the daemon's list of KEKs has what is no vault; see: journalctl -u vaultringd");
			return FAILED;
		}
		if (vault_trust(ref, NULL) != DONE)
			return FAILED;
	}
	return DONE;
}

/* One that fails does not keep the others from it. */
static int reseal_newer(const struct verb *verb, bool pin)
{
	struct daemon_error error;
	json_t *keks = daemon_keks(&error), *kek;
	int ret = DONE;
	size_t i, n = 0;

	if (!keks) {
		say_error("%s", error.message);
		return FAILED;
	}
	json_array_foreach(keks, i, kek) {
		struct kek_spec spec = { 0 };

		if (!has_newer(keks, kek))
			continue;
		n++;
		spec.name = json_string_value(json_object_get(kek, "name"));
		if ((pin && pin_vaults(kek) != DONE) ||
		    reseal_named(verb, &spec) != DONE)
			ret = FAILED;
	}
	json_decref(keks);
	if (!n)
		printf("no vault has a newer key than the KEKs were made with\n");
	return ret;
}

int kek_reseal(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "vault", required_argument, NULL, 'v' },
		{ "threshold", required_argument, NULL, 'k' },
		{ "newer", no_argument, NULL, 'n' },
		{ "pin", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	bool newer = false, pin = false;
	struct kek_spec spec = { 0 };
	const char *why = NULL;
	int opt;

	while (!why && (opt = verb_getopt(verb, argc, argv, options))) {
		if (opt == 'v')
			why = spec_add_vault(&spec, optarg);
		else if (opt == 'k')
			why = spec_set_threshold(&spec, optarg);
		else if (opt == 'n')
			newer = true;
		else if (opt == 'p')
			pin = true;
		else
			return verb_option_exit(verb, opt);
	}
	if (!why && newer && (optind != argc || spec.n_shares || spec.threshold))
		why = "--newer takes no name, vault or threshold";
	if (!why && !newer && (pin || optind + 1 != argc))
		why = pin ? "--pin goes with --newer" : "give one name, or --newer";
	if (!why && spec.n_shares)
		why = spec_check_threshold(&spec);
	if (why)
		return verb_usage(verb, "%s", why);
	if (!need_root(verb))
		return FAILED;
	if (newer)
		return reseal_newer(verb, pin);
	spec.name = argv[optind];
	return reseal_named(verb, &spec);
}
