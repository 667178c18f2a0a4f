// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that are TPMs: making the key
 *
 * It is made by TPM2_Create from the TPM's random numbers, not as a primary key:
 * a primary is computed from its template and the owner's seed, and whoever is
 * the owner could have it computed again with another PIN.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <tss2/tss2_mu.h>

#include "tpm2.h"

static int handle_is_free(struct tpm *t)
{
	TPMS_CAPABILITY_DATA *data;
	TPMI_YES_NO more;
	TSS2_RC rc;
	bool taken;

	rc = Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE,
				ESYS_TR_NONE, TPM2_CAP_HANDLES, t->uri.handle,
				1, &more, &data);
	if (rc)
		return tpm_fail("reading the list of keys", rc);
	/* It lists from that handle on. */
	taken = data->data.handles.count &&
		data->data.handles.handle[0] == t->uri.handle;
	Esys_Free(data);
	return taken ? vault_fail(-ENOKEY, "there is a key 0x%08x already.  To make another one take it away, for ever and with all that it guards: tpm2_evictcontrol -C o -c 0x%08x",
				  t->uri.handle, t->uri.handle) : 0;
}

static int place_is_free(struct tpm *t)
{
	if (t->uri.handle)
		return handle_is_free(t);
	return access(t->uri.file, F_OK) ? 0 :
	       vault_fail(-ENOKEY, "%s exists already; what it guards would be lost with it",
			  t->uri.file);
}

/* A policy over PCRs that the TPM does not have would hold always. */
static int pcrs_exist(struct tpm *t)
{
	const TPMS_PCR_SELECTION *want = &t->pcrs.pcrSelections[0], *have;
	TPMS_CAPABILITY_DATA *data;
	TPMI_YES_NO more;
	bool found = false;
	uint32_t i, n;
	TSS2_RC rc;

	rc = Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE,
				ESYS_TR_NONE, TPM2_CAP_PCRS, 0, 1, &more, &data);
	if (rc)
		return tpm_fail("reading the list of PCRs", rc);
	for (i = 0; i < data->data.assignedPCR.count && !found; i++) {
		have = &data->data.assignedPCR.pcrSelections[i];
		found = have->hash == want->hash &&
			have->sizeofSelect >= want->sizeofSelect;
		for (n = 0; found && n < want->sizeofSelect; n++)
			found = !(want->pcrSelect[n] & ~have->pcrSelect[n]);
	}
	Esys_Free(data);
	return found ? 0 : vault_fail(-ENOKEY, "the TPM does not have the PCRs %s; see: tpm2_getcap pcrs",
				      t->pcrs_text);
}

static int policy_digest(struct tpm *t, TPM2B_DIGEST *digest)
{
	TPM2B_DIGEST *now = NULL;
	ESYS_TR session;
	TSS2_RC rc;
	int err;

	err = pcrs_exist(t);
	if (!err)
		err = tpm_session(t, TPM2_SE_TRIAL, ESYS_TR_NONE, &session);
	if (err)
		return err;
	err = tpm_policy(t, session);
	if (!err) {
		rc = Esys_PolicyGetDigest(t->esys, session, ESYS_TR_NONE,
					  ESYS_TR_NONE, ESYS_TR_NONE, &now);
		err = rc ? tpm_fail("reading the policy", rc) : 0;
	}
	if (!err)
		*digest = *now;
	Esys_Free(now);
	tpm_flush(t, &session);
	return err;
}

/* Wrong PINs count, where there is one; other keys' do not lock this one. */
static int key_template(struct tpm *t, TPMT_PUBLIC *p)
{
	*p = (TPMT_PUBLIC){
		.type = TPM2_ALG_ECC,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM |
			TPMA_OBJECT_FIXEDPARENT |
			TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_DECRYPT,
		.parameters.eccDetail = {
			.symmetric.algorithm = TPM2_ALG_NULL,
			.scheme.scheme = TPM2_ALG_NULL,
			.curveID = TPM2_ECC_NIST_P256,
			.kdf.scheme = TPM2_ALG_NULL,
		},
	};
	if (!t->pin.source)
		p->objectAttributes |= TPMA_OBJECT_NODA;
	if (!t->pcrs_text) {
		p->objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
		return 0;
	}
	p->objectAttributes |= TPMA_OBJECT_ADMINWITHPOLICY;
	return policy_digest(t, &p->authPolicy);
}

/* The PIN goes to the TPM encrypted to the storage key. */
static int create(struct tpm *t, ESYS_TR parent, TPM2B_PUBLIC **public,
		  TPM2B_PRIVATE **private)
{
	static const TPML_PCR_SELECTION no_pcrs;
	static const TPM2B_DATA no_data;
	TPM2B_SENSITIVE_CREATE sensitive = { 0 };
	TPM2B_PUBLIC template = { 0 };
	ESYS_TR session = ESYS_TR_NONE;
	TSS2_RC rc;
	int err;

	err = key_template(t, &template.publicArea);
	if (!err)
		err = tpm_pin(t, "", &sensitive.sensitive.userAuth);
	if (!err)
		err = tpm_session(t, TPM2_SE_HMAC, parent, &session);
	if (!err) {
		rc = Esys_Create(t->esys, parent, session, ESYS_TR_NONE,
				 ESYS_TR_NONE, &sensitive, &template, &no_data,
				 &no_pcrs, private, public, NULL, NULL, NULL);
		if (rc) {
			tpm_flush(t, &session);
			err = tpm_fail("making the key", rc);
		}
	}
	explicit_bzero(&sensitive, sizeof(sensitive));
	return err;
}

static int make_persistent(struct tpm *t, ESYS_TR parent,
			   const TPM2B_PUBLIC *public,
			   const TPM2B_PRIVATE *private)
{
	ESYS_TR object = ESYS_TR_NONE, kept = ESYS_TR_NONE;
	TSS2_RC rc;

	rc = Esys_Load(t->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE,
		       ESYS_TR_NONE, private, public, &object);
	if (rc)
		return tpm_fail("loading the key", rc);
	rc = Esys_EvictControl(t->esys, ESYS_TR_RH_OWNER, object,
			       ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
			       t->uri.handle, &kept);
	tpm_flush(t, &object);
	return rc ? tpm_fail("keeping the key in the TPM", rc) : 0;
}

static int to_file(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
		   struct vault_made *made)
{
	made->file_len = 0;
	if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, made->file, sizeof(made->file),
					 &made->file_len) ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(private, made->file,
					  sizeof(made->file), &made->file_len))
		return vault_fail(-EKEYREJECTED, "the TPM's new key is too long");
	return 0;
}

int tpm_init(struct tpm *t, struct vault_made *made)
{
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	ESYS_TR parent = ESYS_TR_NONE;
	struct tpm_key key = { .object = ESYS_TR_NONE };
	int err;

	tpm_key_text(t, &key);
	t->pin.n_refused = 0;
	err = tpm_open(t);
	if (!err)
		err = place_is_free(t);
	if (!err)
		err = tpm_storage_key(t, &parent);
	if (!err)
		err = create(t, parent, &public, &private);
	if (!err) {
		key.public = public->publicArea;
		err = tpm_key_judge(t, &key) ?:
		      tpm_key_spki(&key, made->spki, &made->spki_len);
	}
	if (!err)
		err = t->uri.handle ?
		      make_persistent(t, parent, public, private) :
		      to_file(public, private, made);
	if (parent != ESYS_TR_NONE)
		tpm_flush(t, &parent);
	Esys_Free(public);
	Esys_Free(private);
	return err;
}
