// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that are TPMs: sessions, policies and the exchange
 *
 * Whoever uses a key proves in a session that he knows its PIN, or that the PCRs
 * are what they were, or both.  The session's keys come from a secret encrypted
 * to the vault key itself, which is pinned: a chip between CPU and TPM can
 * neither read along nor take the TPM's place.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "../secret.h"
#include "tpm2.h"

int tpm_session(struct tpm *t, TPM2_SE type, ESYS_TR salt, ESYS_TR *session)
{
	static const TPMT_SYM_DEF aes = {
		.algorithm = TPM2_ALG_AES, .keyBits.aes = 128,
		.mode.aes = TPM2_ALG_CFB,
	};
	TSS2_RC rc;

	*session = ESYS_TR_NONE;
	rc = Esys_StartAuthSession(t->esys, salt, ESYS_TR_NONE, ESYS_TR_NONE,
				   ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &aes,
				   TPM2_ALG_SHA256, session);
	if (!rc && type != TPM2_SE_TRIAL)
		rc = Esys_TRSess_SetAttributes(t->esys, *session,
					       TPMA_SESSION_DECRYPT |
					       TPMA_SESSION_ENCRYPT, 0xff);
	if (!rc)
		return 0;
	tpm_flush(t, session);
	return tpm_fail("starting a session", rc);
}

int tpm_policy(struct tpm *t, ESYS_TR session)
{
	static const TPM2B_DIGEST as_they_are;
	TSS2_RC rc;

	rc = Esys_PolicyPCR(t->esys, session, ESYS_TR_NONE, ESYS_TR_NONE,
			    ESYS_TR_NONE, &as_they_are, &t->pcrs);
	if (!rc && t->pin.source)
		rc = Esys_PolicyAuthValue(t->esys, session, ESYS_TR_NONE,
					  ESYS_TR_NONE, ESYS_TR_NONE);
	return rc ? tpm_fail("satisfying the policy", rc) : 0;
}

int tpm_pin(struct tpm *t, const char *key, TPM2B_AUTH *auth)
{
	struct secret pin = { 0 };
	int err;

	*auth = (TPM2B_AUTH){ 0 };
	if (!t->pin.source)
		return 0;
	err = pin_read(&t->pin, key, TPM_PIN_MAX, &pin);
	if (err)
		return err;
	auth->size = pin.len;
	memcpy(auth->buffer, pin.data, pin.len);
	secret_free(&pin);
	return 0;
}

/*
 * The library keeps a copy of it with the key, which take_pin_back() makes it
 * overwrite, and one with the session, which it frees as it is.
 */
static int lend_pin(struct tpm *t)
{
	TPM2B_AUTH auth;
	TSS2_RC rc = 0;
	int err;

	if (!t->pin.source && pin_is_refused(&t->pin, t->key.name))
		return vault_fail_here("%s wants a PIN; set pin-source",
				  t->key.text);
	err = tpm_pin(t, t->key.name, &auth);
	if (!err)
		rc = Esys_TR_SetAuth(t->esys, t->key.object, &auth);
	explicit_bzero(&auth, sizeof(auth));
	return rc ? tpm_fail("setting the PIN", rc) : err;
}

static void take_pin_back(struct tpm *t)
{
	static const TPM2B_AUTH none;

	Esys_TR_SetAuth(t->esys, t->key.object, &none);
}

/* How long a locked TPM takes to allow one more try; 0: it does not say. */
static uint32_t lockout_interval(struct tpm *t)
{
	TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	uint32_t value = 0;

	if (Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			       TPM2_CAP_TPM_PROPERTIES, TPM2_PT_LOCKOUT_INTERVAL,
			       1, &more, &data))
		return 0;
	if (data->data.tpmProperties.count == 1 &&
	    data->data.tpmProperties.tpmProperty[0].property ==
	    TPM2_PT_LOCKOUT_INTERVAL)
		value = data->data.tpmProperties.tpmProperty[0].value;
	Esys_Free(data);
	return value;
}

static int refused(struct tpm *t, TSS2_RC rc)
{
	const char *key = t->key.text;

	switch (tpm_code(rc)) {
	case TPM2_RC_AUTH_FAIL:
	case TPM2_RC_BAD_AUTH:
		pin_refuse(&t->pin, t->key.name, "it is wrong");
		if (!t->pin.source)
			return vault_fail_here("%s wants a PIN; set pin-source",
					  key);
		return vault_fail(-ENOKEY, "the TPM refused the PIN in %s for %s; each wrong one brings it closer to locking itself",
				  t->pin.source, key);
	case TPM2_RC_LOCKOUT:
		return vault_fail_here("the TPM has locked %s after too many wrong PINs: it allows one more try after %u s without any, or at once after: tpm2_dictionarylockout --clear-lockout",
				  key, lockout_interval(t));
	case TPM2_RC_POLICY_FAIL:
	case TPM2_RC_PCR_CHANGED:
		return vault_fail(-ENOKEY, "the PCRs %s are not what they were when %s was made: the machine has started something else, or pcrs or pin-source in vaultring.conf were others then.  Until a boot brings the PCRs back the TPM does not use this key",
				  t->pcrs_text, key);
	default:
		return tpm_fail("TPM2_ECDH_ZGen", rc);
	}
}

static int take_x(const TPM2B_ECC_POINT *out, uint8_t x[X_SIZE])
{
	const TPM2B_ECC_PARAMETER *value = &out->point.x;

	/* Its leading zeros may be left out. */
	if (!value->size || value->size > X_SIZE)
		return vault_fail(-EKEYREJECTED, "the TPM derived a value of %u bytes instead of %d",
				  value->size, X_SIZE);
	memset(x, 0, X_SIZE);
	memcpy(x + X_SIZE - value->size, value->buffer, value->size);
	return 0;
}

static int zgen(struct tpm *t, ESYS_TR session, const uint8_t point[POINT_SIZE],
		uint8_t x[X_SIZE])
{
	TPM2B_ECC_POINT in = { .point = { .x.size = X_SIZE, .y.size = X_SIZE } };
	TPM2B_ECC_POINT *out = NULL;
	TSS2_RC rc;
	int err;

	memcpy(in.point.x.buffer, point, X_SIZE);
	memcpy(in.point.y.buffer, point + X_SIZE, X_SIZE);
	rc = Esys_ECDH_ZGen(t->esys, t->key.object, session, ESYS_TR_NONE,
			    ESYS_TR_NONE, &in, &out);
	if (rc) {
		tpm_flush(t, &session);
		return refused(t, rc);
	}
	err = take_x(out, x);
	explicit_bzero(out, sizeof(*out));
	Esys_Free(out);
	return err;
}

int tpm_exchange(struct tpm *t, const uint8_t point[POINT_SIZE],
		 uint8_t x[X_SIZE])
{
	ESYS_TR session = ESYS_TR_NONE;
	int err = lend_pin(t);

	if (err)
		return err;
	err = tpm_session(t, t->pcrs_text ? TPM2_SE_POLICY : TPM2_SE_HMAC,
			  t->key.object, &session);
	if (!err && t->pcrs_text)
		err = tpm_policy(t, session);
	if (err)
		tpm_flush(t, &session);
	else
		err = zgen(t, session, point, x);
	take_pin_back(t);
	return err;
}
