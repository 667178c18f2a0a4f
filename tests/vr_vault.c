// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A vault inside the test: a P-256 key in software that answers challenges as
 * an HSM would.  The test thereby knows the vault's private key.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "vr_test.h"

#define PINS "/etc/vaultring/pins"

int soft_vault_make(struct soft_vault *v)
{
	uint8_t *at = v->spki;

	v->key = EVP_EC_gen("P-256");
	if (!v->key)
		return -ENOMEM;
	if (i2d_PUBKEY(v->key, NULL) != SPKI_SIZE ||
	    i2d_PUBKEY(v->key, &at) != SPKI_SIZE)
		return -EINVAL;
	SHA256(v->spki, SPKI_SIZE, v->fingerprint);
	return 0;
}

void soft_vault_free(struct soft_vault *v)
{
	EVP_PKEY_free(v->key);
	v->key = NULL;
}

int soft_vault_save(const struct soft_vault *v, const char *path)
{
	FILE *f = fopen(path, "we");
	int good;

	if (!f)
		return -errno;
	good = PEM_write_PrivateKey(f, v->key, NULL, NULL, 0, NULL, NULL);
	return fclose(f) || !good ? -EIO : 0;
}

static EVP_PKEY *peer_of(const uint8_t *point)
{
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	uint8_t raw[1 + POINT_SIZE] = { 4 };

	memcpy(raw + 1, point, POINT_SIZE);
	if (peer && EVP_PKEY_set1_encoded_public_key(peer, raw,
						     sizeof(raw)) != 1) {
		EVP_PKEY_free(peer);
		peer = NULL;
	}
	return peer;
}

int soft_vault_exchange(const struct soft_vault *v, const uint8_t *point,
			uint8_t *x)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->key, NULL);
	EVP_PKEY *peer = peer_of(point);
	size_t len = X_SIZE;
	int err = -EINVAL;

	if (ctx && peer && EVP_PKEY_derive_init(ctx) == 1 &&
	    EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	    EVP_PKEY_derive(ctx, x, &len) == 1 && len == X_SIZE)
		err = 0;
	EVP_PKEY_free(peer);
	EVP_PKEY_CTX_free(ctx);
	return err;
}

static void put_kek_pin(struct nl_msg *m, const char *name, const uint8_t *id)
{
	size_t nest = nl_nest(m, VAULTRING_A_KEK_PIN);

	nl_put_text(m, VAULTRING_A_KEK_PIN_NAME, name);
	nl_put(m, VAULTRING_A_KEK_PIN_ID, id, VAULTRING_ID_SIZE);
	nl_nest_end(m, nest);
}

/* The pins that the system has stay; a test only adds to them. */
int pins_set_all(int nl, const struct soft_vault *vaults, int n,
		 const char *name, const uint8_t *id)
{
	char line[256], what[16], who[128], hex[80];
	FILE *f = fopen(PINS, "re");
	uint8_t value[32];
	struct nl_msg m;
	int i;

	nl_start(&m, VAULTRING_CMD_PINS_SET, 0);
	while (f && fgets(line, sizeof(line), f)) {
		if (line[0] == '#' ||
		    sscanf(line, "%15s %127s %79s", what, who, hex) != 3)
			continue;
		if (!strcmp(what, "vault") && !hex_to(hex, value, 32))
			nl_put(&m, VAULTRING_A_VAULT_PIN, value, 32);
		else if (!strcmp(what, "kek") && !hex_to(hex, value, 16))
			put_kek_pin(&m, who, value);
	}
	if (f)
		fclose(f);
	for (i = 0; i < n; i++)
		nl_put(&m, VAULTRING_A_VAULT_PIN, vaults[i].fingerprint, 32);
	if (name)
		put_kek_pin(&m, name, id);
	return nl_call(nl, &m, NULL);
}

int pins_set(int nl, const struct soft_vault *v, const char *name,
	     const uint8_t *id)
{
	return pins_set_all(nl, v, v ? 1 : 0, name, id);
}

void nl_put_vault(struct nl_msg *m, const struct soft_vault *v)
{
	size_t nest = nl_nest(m, VAULTRING_A_SHARE);

	nl_put_u32(m, VAULTRING_A_SHARE_METHOD, VAULTRING_METHOD_OBLIVIOUS);
	nl_put_text(m, VAULTRING_A_SHARE_VAULT, "test");
	nl_put(m, VAULTRING_A_SHARE_PUBLIC_KEY, v->spki, SPKI_SIZE);
	nl_nest_end(m, nest);
}

int kek_create(int nl, const struct soft_vault *v, const struct kek_options *o,
	       struct kek *kek)
{
	static const struct kek_options none;
	static unsigned int count;
	struct nl_reply r;
	struct nl_msg m;
	int i, err;

	o = o ? o : &none;
	if (o->name)
		snprintf(kek->name, sizeof(kek->name), "%s", o->name);
	else
		snprintf(kek->name, sizeof(kek->name), "t-%d-%u", getpid(),
			 ++count);
	nl_start(&m, VAULTRING_CMD_KEK_CREATE, 0);
	nl_put_text(&m, VAULTRING_A_NAME, kek->name);
	nl_put_u32(&m, VAULTRING_A_VERSION, o->version ? o->version : 1);
	nl_put_u32(&m, VAULTRING_A_USES, o->uses ? o->uses : ALL_USES);
	for (i = 0; i < o->n_uids; i++)
		nl_put_u32(&m, VAULTRING_A_UID, o->uids[i]);
	for (i = 0; i < o->n_gids; i++)
		nl_put_u32(&m, VAULTRING_A_GID, o->gids[i]);
	if (o->not_before)
		nl_put_u64(&m, VAULTRING_A_NOT_BEFORE, o->not_before);
	if (o->not_after)
		nl_put_u64(&m, VAULTRING_A_NOT_AFTER, o->not_after);
	if (o->lease)
		nl_put_u32(&m, VAULTRING_A_LEASE, o->lease);
	if (o->lease_end)
		nl_put_u32(&m, VAULTRING_A_LEASE_END, o->lease_end);
	if (o->threshold)
		nl_put_u32(&m, VAULTRING_A_THRESHOLD,
			   o->threshold < 0 ? 0 : o->threshold);
	if (!o->vaults)
		nl_put_vault(&m, v);
	for (i = 0; o->vaults && i < o->n_vaults; i++)
		nl_put_vault(&m, &o->vaults[i]);
	err = nl_call(nl, &m, &r);
	if (err && o->text)
		strcpy(o->text, r.text);
	if (err)
		return err;
	kek->envelope_len = r.attr_len[VAULTRING_A_ENVELOPE];
	if (!r.attr[VAULTRING_A_ENVELOPE] || !r.attr[VAULTRING_A_ID] ||
	    kek->envelope_len > sizeof(kek->envelope) ||
	    r.attr_len[VAULTRING_A_ID] != sizeof(kek->id))
		return -ENOMSG;
	memcpy(kek->envelope, r.attr[VAULTRING_A_ENVELOPE], kek->envelope_len);
	memcpy(kek->id, r.attr[VAULTRING_A_ID], sizeof(kek->id));
	return 0;
}

int unseal_start(int nl, const void *envelope, size_t len, uint32_t ms,
		 struct nl_reply *r)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_UNSEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, envelope, len);
	if (ms)
		nl_put_u32(&m, VAULTRING_A_DEADLINE_MS, ms);
	return nl_call(nl, &m, r);
}

int answer_with(int nl, uint64_t unseal, uint32_t index, const void *answer,
		size_t len, uint32_t hash, struct nl_reply *r)
{
	struct nl_msg m;
	size_t nest;

	nl_start(&m, VAULTRING_CMD_UNSEAL_ANSWER, 0);
	nl_put_u64(&m, VAULTRING_A_UNSEAL, unseal);
	nest = nl_nest(&m, VAULTRING_A_SHARE);
	nl_put_u32(&m, VAULTRING_A_SHARE_INDEX, index);
	nl_put(&m, VAULTRING_A_SHARE_ANSWER, answer, len);
	if (hash)
		nl_put_u32(&m, VAULTRING_A_SHARE_HASH, hash);
	nl_nest_end(&m, nest);
	return nl_call(nl, &m, r);
}

int unseal_answer(int nl, uint64_t unseal, uint32_t index, const void *answer,
		  size_t len, struct nl_reply *r)
{
	return answer_with(nl, unseal, index, answer, len, 0, r);
}

int unseal_error(int nl, uint64_t unseal, uint32_t index, uint32_t error,
		 struct nl_reply *r)
{
	struct nl_msg m;
	size_t nest;

	nl_start(&m, VAULTRING_CMD_UNSEAL_ANSWER, 0);
	nl_put_u64(&m, VAULTRING_A_UNSEAL, unseal);
	nest = nl_nest(&m, VAULTRING_A_SHARE);
	nl_put_u32(&m, VAULTRING_A_SHARE_INDEX, index);
	nl_nest_end(&m, nest);
	nl_put_u32(&m, VAULTRING_A_ERROR, error);
	return nl_call(nl, &m, r);
}

int kek_unseal(int nl, const struct soft_vault *v, const void *envelope,
	       size_t len)
{
	struct nl_share share;
	struct nl_reply r;
	uint8_t x[X_SIZE];
	int err;

	err = unseal_start(nl, envelope, len, 0, &r);
	if (err)
		return err;
	err = nl_share_of(&r, &share);
	if (err)
		return err;
	/* A real vault refuses a point off the curve; so the kernel learns. */
	if (soft_vault_exchange(v, share.challenge, x))
		memset(x, 0, sizeof(x));
	err = unseal_answer(nl, nl_u64(&r, VAULTRING_A_UNSEAL), share.index, x,
			    sizeof(x), &r);
	if (err)
		return err;
	return nl_u32(&r, VAULTRING_A_STATE) == VAULTRING_KEK_STATE_ACTIVE ?
		0 : -ENOMSG;
}

int kek_make(int nl, const struct soft_vault *v, const struct kek_options *o,
	     struct kek *kek)
{
	int err = kek_create(nl, v, o, kek);

	return err ? err : kek_unseal(nl, v, kek->envelope, kek->envelope_len);
}

int kek_revoke(int nl, const struct kek *kek)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_KEK_REVOKE, 0);
	nl_put(&m, VAULTRING_A_ID, kek->id, sizeof(kek->id));
	return nl_call(nl, &m, NULL);
}

int kek_get(int nl, const uint8_t *id, struct nl_reply *r)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_KEK_GET, 0);
	nl_put(&m, VAULTRING_A_ID, id, VAULTRING_ID_SIZE);
	return nl_call(nl, &m, r);
}

/* Whether the kernel holds an active KEK of this id. */
int kek_held(int nl, const uint8_t *id)
{
	struct nl_reply r;

	return !kek_get(nl, id, &r) && r.messages == 1 &&
	       nl_u32(&r, VAULTRING_A_STATE) == VAULTRING_KEK_STATE_ACTIVE;
}

int daemon_attach(void)
{
	int err, nl = nl_open();
	struct nl_msg m;

	if (nl < 0)
		return nl;
	nl_start(&m, VAULTRING_CMD_ATTACH, 0);
	err = nl_call(nl, &m, NULL);
	if (!err)
		return nl;
	close(nl);
	return err;
}

int daemon_next(int nl, struct nl_reply *r, int ms)
{
	int cmd, err = nl_wait(nl, r, ms, &cmd);

	return err ? err : cmd == VAULTRING_CMD_KEK_REQUEST ? 0 : -EBADMSG;
}

int daemon_fail(int nl, const struct nl_reply *request, uint32_t error)
{
	struct nl_msg m;

	nl_start(&m, VAULTRING_CMD_REQUEST_FAIL, 0);
	nl_put_u64(&m, VAULTRING_A_REQUEST,
		   nl_u64(request, VAULTRING_A_REQUEST));
	nl_put_u32(&m, VAULTRING_A_ERROR, error);
	return nl_call(nl, &m, NULL);
}
