// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vaultring kek reseal: another envelope of a KEK, for other vaults or new keys
 *
 * As with a new KEK, root and the kernel say which vault keys a KEK is for; the
 * daemon asks the vaults of the envelope that there is and stores the new one.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "kernel_call.h"

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
	json_t *start;
};

static void take_start(struct nlattr **attrs, void *arg)
{
	struct starting *s = arg;
	json_t *shares = json_array();
	struct nlattr *a;
	int left;

	if (!attrs[VAULTRING_A_UNSEAL] || !attrs[VAULTRING_A_DEADLINE_MS])
		return;
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

/* What to ask the vaults of the envelope that there is; says why not. */
static json_t *start(const struct kek_spec *spec, const uint8_t *envelope,
		     size_t len)
{
	struct starting s = { .exchange = { .valid = take_start, .arg = &s } };
	int err = kernel_begin(&s.exchange, VAULTRING_CMD_RESEAL_START, 0);

	if (!err && (nla_put(s.exchange.msg, VAULTRING_A_ENVELOPE, (int)len,
			     envelope) ||
		     kernel_put_shares(s.exchange.msg, spec)))
		err = kernel_set_error(-EMSGSIZE, "its envelope is too long");
	if (!err)
		err = kernel_finish(&s.exchange);
	kernel_drop(&s.exchange);
	if (!err && !s.start)
		err = kernel_set_error(-EPROTO, "the module's answer holds no challenges; "
				"are module and tools of the same version?");
	if (!err)
		return s.start;
	say_error("kek %s: the kernel refused to reseal it: %s", spec->name,
		  kernel_error());
	json_decref(s.start);
	return NULL;
}

/* --- the KEK that there is --- */

/* The daemon's description, or NULL and why not has been said. */
static json_t *find(const char *name)
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

/* Without --vault: the same as now, for their newest keys. */
static const char *take_vaults(struct kek_spec *spec, const json_t *kek)
{
	const json_t *vaults = json_object_get(kek, "vaults"), *vault;
	const char *why = NULL;
	size_t i;

	json_array_foreach(vaults, i, vault)
		why = why ?: spec_add_vault(spec, json_string_value(vault));
	if (!spec->threshold)
		spec->threshold = (uint32_t)json_integer_value(
			json_object_get(kek, "threshold"));
	return why;
}

static int read_envelope(const char *name, const json_t *kek, uint8_t **data,
			 size_t *len)
{
	const char *path = json_string_value(json_object_get(kek, "envelope"));
	int err = path ? file_read(AT_FDCWD, path, VAULTRING_MAX_ENVELOPE, data,
				   len) : -ENOENT;

	if (err)
		say_error("kek %s: cannot read its envelope %s: %s", name,
			  path ? path : "", strerror(-err));
	return err;
}

/* --- all of it --- */

static int have_done(const struct kek_spec *spec, json_t *params)
{
	json_t *reply;
	size_t i;

	json_object_set_new(params, "name", json_string(spec->name));
	reply = daemon_call("vaultring.KekReseal", params);
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

static int reseal(struct kek_spec *spec, const json_t *kek)
{
	json_t *params = NULL;
	struct pins pins;
	uint8_t *data;
	size_t len;

	if (read_envelope(spec->name, kek, &data, &len))
		return FAILED;
	if (!pins_read(&pins, false)) {
		if (!spec_ask_public_keys(&pins, spec) && !pins_load(&pins))
			params = start(spec, data, len);
		pins_free(&pins);
	}
	free(data);
	return params ? have_done(spec, params) : FAILED;
}

int kek_reseal(const struct verb *verb, int argc, char *argv[])
{
	static const struct option options[] = {
		{ "vault", required_argument, NULL, 'v' },
		{ "threshold", required_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct kek_spec spec = { 0 };
	const char *why = NULL;
	json_t *kek;
	int opt, ret;

	while (!why && (opt = verb_getopt(verb, argc, argv, options))) {
		if (opt == 'v')
			why = spec_add_vault(&spec, optarg);
		else if (opt == 'k')
			why = spec_set_threshold(&spec, optarg);
		else
			return verb_option_exit(verb, opt);
	}
	if (!why && optind + 1 != argc)
		why = "give one name";
	if (!why && spec.n_shares)
		why = spec_check_threshold(&spec);
	if (why)
		return verb_usage(verb, "%s", why);
	if (!need_root(verb))
		return FAILED;
	spec.name = argv[optind];
	kek = find(spec.name);
	if (!kek)
		return FAILED;
	if (!spec.n_shares)
		why = take_vaults(&spec, kek) ?: spec_check_threshold(&spec);
	ret = why ? verb_usage(verb, "%s", why) : reseal(&spec, kek);
	json_decref(kek);
	return ret;
}
