// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Work of faults_test about clear and sealed shares, reseals and the transport
 * key.  The vaults' side is done without faults.
 */
#include <stdio.h>

#include "faults_work.h"
#include "shares_fixture.h"

static struct share_spec oblivious;
static struct rsa_vault rsa;
static struct transport transport;
static struct vaultring_transport kept;
static struct kek mixed, keeper;
static const uint8_t vault_key[KEY_SIZE] = { 9 };

static int all_pins(int nl)
{
	struct soft_vault pins[3];
	struct share_spec sealed;

	if (release(&transport, 1, vault_key, &sealed))
		return -EINVAL;
	memcpy(pins[0].fingerprint, oblivious.fingerprint, 32);
	memcpy(pins[1].fingerprint, rsa.spec.fingerprint, 32);
	memcpy(pins[2].fingerprint, sealed.fingerprint, 32);
	return pins_set_all(nl, pins, 3, NULL, NULL);
}

static int save_transport(struct state *s, struct vaultring_transport *out)
{
	struct nl_reply r;
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_SAVE, 0);
	nl_put(&m, VAULTRING_A_ID, keeper.id, sizeof(keeper.id));
	err = nl_call(s->nl, &m, &r);
	if (err)
		return err;
	if (r.attr_len[VAULTRING_A_KEPT_TRANSPORT] != sizeof(*out))
		return WRONG;
	memcpy(out, r.attr[VAULTRING_A_KEPT_TRANSPORT], sizeof(*out));
	return 0;
}

/* --- the steps --- */

static int create_mixed(struct state *s)
{
	const struct share_spec *specs[3] = { &oblivious, &rsa.spec };
	struct share_spec sealed;
	struct nl_reply r;
	int err;

	faults(0);
	kek_revoke(s->nl, &mixed);
	if (release(&transport, 2, vault_key, &sealed))
		return WRONG;
	specs[2] = &sealed;
	faults(1);
	err = create(s->nl, specs, 3, 2, &mixed, &r);
	return err == -ENOMSG ? WRONG : err;
}

/* It is told that a share is enough, and that two are. */
static int answer(struct state *s, uint64_t unseal, uint32_t index,
		  const void *data, size_t len, int expected)
{
	struct nl_reply r;
	int err, state;

	faults(1);
	err = answer_with(s->nl, unseal, index, data, len, index == 3, &r);
	faults(0);
	if (err)
		return err;
	state = state_of(0, &r);
	if (state == expected)
		return 0;
	/* One was lost for want of memory: the third share could take its place. */
	return state == 1 ? -ENOMEM : WRONG;
}

static int unseal_mixed(struct state *s)
{
	uint8_t secret[SECRET_SIZE];
	struct nl_share asked[3];
	struct share_spec sealed;
	struct nl_reply r;
	uint64_t unseal;
	int err;

	faults(0);
	kek_revoke(s->nl, &mixed);
	if (release(&transport, 1, vault_key, &sealed))
		return WRONG;
	faults(1);
	err = unseal_start(s->nl, mixed.envelope, mixed.envelope_len, 0, &r);
	faults(0);
	if (err)
		return err;
	unseal = nl_u64(&r, VAULTRING_A_UNSEAL);
	if (nl_shares_of(&r, asked, 3) != 3 ||
	    rsa_vault_unwrap(&rsa, asked[1].challenge, asked[1].len, secret))
		return WRONG;
	err = answer(s, unseal, 2, secret, sizeof(secret), 1) ?:
	      answer(s, unseal, 3, sealed.data, sealed.len, 0);
	/* It is held if that was said, and only then. */
	return err == WRONG || kek_held(s->nl, mixed.id) == !err ? err : WRONG;
}

/* From the one vault to another, whose answer brings the envelope. */
static int step_reseal(struct state *s)
{
	uint8_t x[X_SIZE];
	struct nl_share asked;
	struct nl_reply r;
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_RESEAL_START, 0);
	nl_put(&m, VAULTRING_A_ENVELOPE, s->kek.envelope, s->kek.envelope_len);
	nl_put_text(&m, VAULTRING_A_NAME, s->kek.name);
	nl_put_u32(&m, VAULTRING_A_VERSION, 1);
	nl_put_u32(&m, VAULTRING_A_THRESHOLD, 2);
	put_spec(&m, &rsa.spec);
	put_spec(&m, &oblivious);
	err = nl_call(s->nl, &m, &r);
	faults(0);
	if (err)
		return err;
	if (nl_share_of(&r, &asked) ||
	    soft_vault_exchange(&s->vault, asked.challenge, x))
		return WRONG;
	faults(1);
	err = answer_with(s->nl, nl_u64(&r, VAULTRING_A_UNSEAL), 1, x, sizeof(x),
			  0, &r);
	return err || r.attr[VAULTRING_A_ENVELOPE] ? err : WRONG;
}

static int step_save(struct state *s)
{
	struct vaultring_transport other;
	int err = save_transport(s, &other);

	return !err && memcmp(other.modulus, kept.modulus,
			      sizeof(kept.modulus)) ? WRONG : err;
}

/* The key is the same before and after, whatever comes of it. */
static int step_load(struct state *s)
{
	struct transport now;
	struct nl_reply r;
	struct nl_msg m;
	int err;

	nl_start(&m, VAULTRING_CMD_TRANSPORT_LOAD, 0);
	nl_put(&m, VAULTRING_A_KEPT_TRANSPORT, &kept, sizeof(kept));
	err = nl_call(s->nl, &m, &r);
	faults(0);
	if (transport_wait(s->nl, &now))
		return WRONG;
	if (BN_cmp(now.n, transport.n))
		err = WRONG;
	EVP_PKEY_free(now.key);
	BN_free(now.n);
	return err;
}

int shares_prepare(struct state *s)
{
	struct kek_options keeping = {
		.uses = 1u << VAULTRING_USE_TRANSPORT,
	};

	oblivious.method = VAULTRING_METHOD_OBLIVIOUS;
	oblivious.len = SPKI_SIZE;
	memcpy(oblivious.data, s->vault.spki, SPKI_SIZE);
	memcpy(oblivious.fingerprint, s->vault.fingerprint, 32);
	return kek_make(s->nl, &s->vault, &keeping, &keeper) ||
	       rsa_vault_make(&rsa, 2048, 65537) ||
	       transport_wait(s->nl, &transport) || all_pins(s->nl) ||
	       save_transport(s, &kept) || create_mixed(s);
}

void shares_end(struct state *s)
{
	kek_revoke(s->nl, &mixed);
	kek_revoke(s->nl, &keeper);
}

const struct step share_steps[] = {
	{ "create with three methods", create_mixed },
	{ "unseal by a clear and a sealed share", unseal_mixed },
	{ "reseal", step_reseal },
	{ "save the transport key", step_save },
	{ "load it", step_load },
};

const size_t n_share_steps = sizeof(share_steps) / sizeof(share_steps[0]);
