// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that are TPMs: finding a key and judging it
 *
 * A key is persistent, under a handle, or in a file: what TPM2_Create returned,
 * TPM2B_PUBLIC and TPM2B_PRIVATE one after the other.  Such a file is of use to
 * the TPM alone that made it, and to that only until it is cleared.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tss2/tss2_mu.h>

#include "../util.h"
#include "tpm2.h"

void tpm_flush(struct tpm *t, ESYS_TR *object)
{
	if (*object != ESYS_TR_NONE)
		Esys_FlushContext(t->esys, *object);
	*object = ESYS_TR_NONE;
}

void tpm_key_text(const struct tpm *t, struct tpm_key *key)
{
	if (*key->name)
		snprintf(key->text, sizeof(key->text), "the key %s", key->name);
	else if (t->uri.handle)
		snprintf(key->text, sizeof(key->text), "the key 0x%08x",
			 t->uri.handle);
	else
		snprintf(key->text, sizeof(key->text), "the key in %s",
			 t->uri.file);
}

/*
 * The storage root key of the TCG's ECC template, made anew each time: that
 * takes no room in the TPM and gives the same key until the TPM is cleared.
 */
int tpm_storage_key(struct tpm *t, ESYS_TR *object)
{
	static const TPM2B_PUBLIC template = { .publicArea = {
		.type = TPM2_ALG_ECC,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM |
			TPMA_OBJECT_FIXEDPARENT |
			TPMA_OBJECT_SENSITIVEDATAORIGIN |
			TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
			TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
		.parameters.eccDetail = {
			.symmetric = { .algorithm = TPM2_ALG_AES,
				       .keyBits.aes = 128,
				       .mode.aes = TPM2_ALG_CFB },
			.scheme.scheme = TPM2_ALG_NULL,
			.curveID = TPM2_ECC_NIST_P256,
			.kdf.scheme = TPM2_ALG_NULL,
		},
	} };
	static const TPM2B_SENSITIVE_CREATE sensitive;
	static const TPML_PCR_SELECTION no_pcrs;
	static const TPM2B_DATA no_data;
	TSS2_RC rc;

	*object = ESYS_TR_NONE;
	rc = Esys_CreatePrimary(t->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
				ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
				&template, &no_data, &no_pcrs, object, NULL,
				NULL, NULL, NULL);
	if (tpm_code(rc) == TPM2_RC_BAD_AUTH ||
	    tpm_code(rc) == TPM2_RC_AUTH_FAIL)
		return vault_fail(-ENOKEY, "the TPM's owner has a password, which vaultringd has not: make the key with tpm2-tools and name it by a handle, see: man vaultringd");
	return rc ? tpm_fail("making the storage key", rc) : 0;
}

static int find_handle(struct tpm *t, struct tpm_key *key, uint32_t handle)
{
	TSS2_RC rc = Esys_TR_FromTPMPublic(t->esys, handle, ESYS_TR_NONE,
					   ESYS_TR_NONE, ESYS_TR_NONE,
					   &key->object);

	if (tpm_code(rc) == TPM2_RC_HANDLE)
		return vault_fail(-ENOKEY, "the TPM does not have %s: it was never made, was removed, or went when the TPM was cleared; see: vaultring vault init --help",
				  key->text);
	return rc ? tpm_fail("finding the key", rc) : 0;
}

static int unmarshal(const uint8_t *data, size_t len, TPM2B_PUBLIC *public,
		     TPM2B_PRIVATE *private)
{
	size_t at = 0;

	*public = (TPM2B_PUBLIC){ 0 };
	*private = (TPM2B_PRIVATE){ 0 };
	return Tss2_MU_TPM2B_PUBLIC_Unmarshal(data, len, &at, public) ||
	       Tss2_MU_TPM2B_PRIVATE_Unmarshal(data, len, &at, private) ||
	       at != len ? -EINVAL : 0;
}

static int load_file(struct tpm *t, struct tpm_key *key)
{
	const char *path = t->uri.file;
	TPM2B_PRIVATE private;
	TPM2B_PUBLIC public;
	ESYS_TR parent;
	uint8_t *data;
	TSS2_RC rc;
	size_t len;
	int err;

	err = file_read(AT_FDCWD, path, MADE_FILE_MAX, &data, &len);
	if (err)
		return vault_fail_here("cannot read the key from %s: %s%s",
				  path, strerror(-err), err == -ENOENT ?
				  "; see: vaultring vault init --help" : "");
	err = unmarshal(data, len, &public, &private);
	free(data);
	if (err)
		return vault_fail_here("%s is not a TPM's key, or is damaged; restore it from a backup",
				  path);
	err = tpm_storage_key(t, &parent);
	if (err)
		return err;
	rc = Esys_Load(t->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE,
		       ESYS_TR_NONE, &private, &public, &key->object);
	tpm_flush(t, &parent);
	key->transient = !rc;
	if (tpm_code(rc) == TPM2_RC_INTEGRITY)
		return vault_fail(-ENOKEY, "%s was made by another TPM than this, before this one was cleared, or under another storage key than vaultring's, see: man vaultringd",
				  key->text);
	return rc ? tpm_fail("loading the key", rc) : 0;
}

/*
 * The library has read the public key, too, and encrypts to that: was it the
 * same?  A key's name is the SHA-256 of it.
 */
static int same_key(struct tpm *t, const struct tpm_key *key)
{
	uint8_t data[sizeof(TPMT_PUBLIC)], hash[FINGERPRINT_SIZE];
	TPM2B_NAME *name = NULL;
	size_t len = 0;
	bool same = !Tss2_MU_TPMT_PUBLIC_Marshal(&key->public, data,
						 sizeof(data), &len) &&
		    !sha256(data, len, hash) &&
		    !Esys_TR_GetName(t->esys, key->object, &name) &&
		    name->size == 2 + sizeof(hash) &&
		    !memcmp(name->name + 2, hash, sizeof(hash));

	Esys_Free(name);
	return same ? 0 : vault_fail(-EKEYREJECTED, "the TPM shows %s in two ways",
				     key->text);
}

/* A name comes from an envelope: it can be a handle, but not any file. */
int tpm_key_find(struct tpm *t, const char *name)
{
	struct tpm_key *key = &t->key;
	uint32_t handle = t->uri.handle;
	TPM2B_PUBLIC *public;
	TSS2_RC rc;
	int err;

	if (key->object != ESYS_TR_NONE && !strcmp(key->name, name))
		return 0;
	if (key->object != ESYS_TR_NONE && key->transient)
		tpm_flush(t, &key->object);
	*key = (struct tpm_key){ .object = ESYS_TR_NONE };
	if (!copy_text(key->name, sizeof(key->name), name) ||
	    (*name && tpm2_handle_parse(name, &handle)))
		return vault_fail(-ENOKEY, "another key of a TPM is named by its handle, such as 0x81000100, not \"%.64s\"",
				  name);
	tpm_key_text(t, key);
	err = handle ? find_handle(t, key, handle) : load_file(t, key);
	if (err)
		return err;
	rc = Esys_ReadPublic(t->esys, key->object, ESYS_TR_NONE, ESYS_TR_NONE,
			     ESYS_TR_NONE, &public, NULL, NULL);
	if (rc)
		return tpm_fail("reading the public key", rc);
	key->public = public->publicArea;
	Esys_Free(public);
	/* Others are refused when they are judged. */
	return key->public.nameAlg == TPM2_ALG_SHA256 ? same_key(t, key) : 0;
}

static const char *wrong_kind(const TPMT_PUBLIC *p)
{
	const TPMS_ECC_PARMS *ecc = &p->parameters.eccDetail;

	if (p->type != TPM2_ALG_ECC || ecc->curveID != TPM2_ECC_NIST_P256)
		return "is not on the curve P-256";
	if (p->nameAlg != TPM2_ALG_SHA256)
		return "does not have SHA-256 as the algorithm of its name";
	if (!(p->objectAttributes & TPMA_OBJECT_DECRYPT) ||
	    p->objectAttributes & TPMA_OBJECT_RESTRICTED)
		return "may not do ECDH: it must have the attribute decrypt, and not restricted";
	if (ecc->scheme.scheme != TPM2_ALG_NULL &&
	    ecc->scheme.scheme != TPM2_ALG_ECDH)
		return "has a scheme other than ECDH";
	return NULL;
}

static const char *not_kept(TPMA_OBJECT attributes)
{
	if (attributes & TPMA_OBJECT_SIGN_ENCRYPT)
		return "may sign, too: a vault key must serve nothing else";
	if (!(attributes & TPMA_OBJECT_FIXEDTPM) ||
	    !(attributes & TPMA_OBJECT_FIXEDPARENT))
		return "can be copied out of the TPM: it must have the attributes fixedTPM and fixedParent";
	if (!(attributes & TPMA_OBJECT_SENSITIVEDATAORIGIN))
		return "was not made in the TPM: it must have the attribute sensitiveDataOrigin";
	return NULL;
}

static const char *other_policy(const TPMT_PUBLIC *p, bool bound)
{
	bool policy = p->authPolicy.size;
	bool by_auth = p->objectAttributes & TPMA_OBJECT_USERWITHAUTH;

	if (bound && (!policy || by_auth))
		return "can be used whatever the PCRs are: it was made without them, so take pcrs out of vaultring.conf or make another key";
	if (!bound && !by_auth)
		return "is bound to PCRs or another policy; name them with pcrs in vaultring.conf";
	return NULL;
}

int tpm_key_judge(const struct tpm *t, const struct tpm_key *key)
{
	const TPMT_PUBLIC *p = &key->public;
	const char *wrong = wrong_kind(p);

	if (!wrong)
		wrong = not_kept(p->objectAttributes);
	if (!wrong)
		wrong = other_policy(p, t->pcrs_text);
	return wrong ? vault_fail(-ENOKEY, "%s %s", key->text, wrong) : 0;
}

int tpm_key_spki(const struct tpm_key *key, uint8_t *spki, size_t *len)
{
	const TPM2B_ECC_PARAMETER *x = &key->public.unique.ecc.x;
	const TPM2B_ECC_PARAMETER *y = &key->public.unique.ecc.y;
	uint8_t point[POINT_SIZE] = { 0 };

	if (x->size > X_SIZE || y->size > X_SIZE || !x->size || !y->size)
		return vault_fail(-EKEYREJECTED, "%s has a public point of %u and %u bytes",
				  key->text, x->size, y->size);
	memcpy(point + X_SIZE - x->size, x->buffer, x->size);
	memcpy(point + POINT_SIZE - y->size, y->buffer, y->size);
	spki_p256(spki, point);
	*len = SPKI_P256_SIZE;
	return 0;
}
