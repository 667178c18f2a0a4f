// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sealed shares: the kernel's transport key, and keys that vaults release for it
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <time.h>

#include "../share.h"
#include "cli.h"
#include "kernel_call.h"

#define PAUSE		250	/* milliseconds */

static void take_transport(struct nlattr **attrs, void *arg)
{
	struct nlattr *spki = attrs[VAULTRING_A_TRANSPORT_KEY];
	struct public_key *key = arg;

	if (!spki || nla_len(spki) > (int)sizeof(key->data))
		return;
	key->len = (size_t)nla_len(spki);
	memcpy(key->data, nla_data(spki), key->len);
}

int kernel_transport_get(struct public_key *key)
{
	struct exchange exchange = { .valid = take_transport, .arg = key };
	int err = kernel_begin(&exchange, VAULTRING_CMD_TRANSPORT_GET, 0);

	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	return err ?: key->len ? 0 :
	       kernel_set_error(-EPROTO, "its answer holds no key");
}

int transport_key(uint8_t spki[VAULTRING_MAX_PUBLIC_KEY], size_t *len)
{
	const struct timespec pause = { .tv_nsec = PAUSE * 1000000L };
	uint64_t end = now_usec() + tools_timeout() * 1000ULL;
	struct public_key key = { .len = 0 };
	bool told = false;
	int err;

	while ((err = kernel_transport_get(&key)) == -EAGAIN &&
	       now_usec() < end) {
		if (!told)
			say_note("the kernel is making its transport key, which takes some seconds");
		told = true;
		nanosleep(&pause, NULL);
	}
	if (err == -EAGAIN)
		say_error("transport key: the kernel is still making it; try again");
	else if (err)
		say_error("transport key: %s", kernel_error());
	if (err)
		return err;
	memcpy(spki, key.data, key.len);
	*len = key.len;
	return 0;
}

static void take_kept(struct nlattr **attrs, void *arg)
{
	struct nlattr *kept = attrs[VAULTRING_A_KEPT_TRANSPORT];

	if (kept && nla_len(kept) == sizeof(struct vaultring_transport))
		memcpy(arg, nla_data(kept), sizeof(struct vaultring_transport));
}

int kernel_transport_save(const char *kek_id, struct vaultring_transport *kept)
{
	struct exchange exchange = { .valid = take_kept, .arg = kept };
	uint8_t id[VAULTRING_ID_SIZE];
	int err;

	memset(kept, 0, sizeof(*kept));
	err = kernel_begin(&exchange, VAULTRING_CMD_TRANSPORT_SAVE, 0);
	if (!err && (hex_decode(kek_id, id, sizeof(id)) ||
		     nla_put(exchange.msg, VAULTRING_A_ID, sizeof(id), id)))
		err = kernel_set_error(-EINVAL, "that is no id of a KEK");
	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	return err ?: *kept->magic ? 0 :
	       kernel_set_error(-EPROTO, "its answer holds no sealed key");
}

int kernel_transport_load(const struct vaultring_transport *kept)
{
	struct exchange exchange = { 0 };
	int err = kernel_begin(&exchange, VAULTRING_CMD_TRANSPORT_LOAD, 0);

	if (!err && nla_put(exchange.msg, VAULTRING_A_KEPT_TRANSPORT,
			    sizeof(*kept), kept))
		err = kernel_set_error(-EMSGSIZE, "it is too long");
	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	return err;
}

static void take_fingerprint(struct nlattr **attrs, void *arg)
{
	struct nlattr *share[VAULTRING_A_SHARE_MAX + 1], *fingerprint;

	if (!attrs[VAULTRING_A_SHARE] ||
	    nla_parse_nested(share, VAULTRING_A_SHARE_MAX,
			     attrs[VAULTRING_A_SHARE], NULL) < 0)
		return;
	fingerprint = share[VAULTRING_A_SHARE_FINGERPRINT];
	if (fingerprint && nla_len(fingerprint) == FINGERPRINT_SIZE)
		hex_encode(arg, nla_data(fingerprint), FINGERPRINT_SIZE);
}

static int ask_fingerprint(struct public_key *key)
{
	struct exchange exchange = {
		.valid = take_fingerprint, .arg = key->fingerprint,
	};
	struct nlattr *nest = NULL;
	int err = kernel_begin(&exchange, VAULTRING_CMD_SEALED_FINGERPRINT, 0);

	if (!err)
		nest = nla_nest_start(exchange.msg,
				      VAULTRING_A_SHARE | NLA_F_NESTED);
	if (!err && (!nest || kernel_put_answer(exchange.msg, key)))
		err = kernel_set_error(-EMSGSIZE, "it is too long");
	if (!err) {
		nla_nest_end(exchange.msg, nest);
		err = kernel_finish(&exchange);
	}
	kernel_drop(&exchange);
	return err ?: *key->fingerprint ? 0 :
	       kernel_set_error(-EPROTO, "its answer holds no fingerprint");
}

int sealed_key(const char *vault, struct public_key *key)
{
	struct share_answer answer;
	const char *wrong;
	json_t *reply;
	size_t len;

	/* The daemon does not wait for it. */
	if (transport_key(key->data, &len))
		return -1;
	reply = daemon_call("vaultring.VaultRelease",
			    json_pack("{s:s}", "vault", vault));
	if (!reply)
		return -1;
	wrong = share_take(VAULTRING_METHOD_SEALED, reply, &answer);
	json_decref(reply);
	if (wrong) {
		say_error("vault %s: the daemon's answer is of no use: %s",
			  vault, wrong);
		return -1;
	}
	key->method = VAULTRING_METHOD_SEALED;
	memcpy(key->data, answer.data, answer.len);
	key->len = answer.len;
	key->hash = answer.hash;
	if (!ask_fingerprint(key))
		return 0;
	say_error("vault %s: the kernel refused what it released: %s", vault,
		  kernel_error());
	return -1;
}
