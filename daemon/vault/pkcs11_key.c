// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that speak PKCS#11: finding a key pair, and using it
 *
 * A key pair is one private and one public EC object with the same label or id.
 * What a library returns is checked before it is used: lengths, kinds, counts.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../log.h"
#include "../util.h"
#include "pkcs11.h"

#define POINT_UNCOMPRESSED	65	/* 04 || x || y */
#define POINT_DER_SIZE		67	/* OCTET STRING around it */
#define FIND_MAX		3

/* The namedCurve prime256v1 as CKA_EC_PARAMS */
static const uint8_t p256_params[] = {
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
};

static const char *key_text(struct p11 *p, const char *name)
{
	static char text[KEY_NAME_SIZE + 16];
	CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(p->uri, CKA_LABEL);

	if (*name)
		snprintf(text, sizeof(text), "key \"%s\"", name);
	else if (label && label->ulValueLen < KEY_NAME_SIZE)
		snprintf(text, sizeof(text), "key \"%.*s\"",
			 (int)label->ulValueLen, (char *)label->pValue);
	else
		snprintf(text, sizeof(text), "the key of its uri");
	return text;
}

/* Returns how many there are, up to FIND_MAX, or a negative errno. */
static int find_objects(struct p11 *p, CK_OBJECT_CLASS class, const char *name,
			CK_OBJECT_HANDLE found[FIND_MAX])
{
	CK_KEY_TYPE type = CKK_EC;
	CK_ATTRIBUTE template[4] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
	};
	CK_ATTRIBUTE *label = p11_kit_uri_get_attribute(p->uri, CKA_LABEL);
	CK_ATTRIBUTE *id = p11_kit_uri_get_attribute(p->uri, CKA_ID);
	CK_ULONG n = 2, have = 0, total = 0;
	CK_RV rv;

	if (*name) {
		template[n++] = (CK_ATTRIBUTE){ CKA_LABEL, (void *)name,
						strlen(name) };
	} else {
		if (label)
			template[n++] = *label;
		if (id)
			template[n++] = *id;
	}
	rv = p->f->C_FindObjectsInit(p->session, template, n);
	if (rv != CKR_OK)
		return p11_fail("C_FindObjectsInit", rv);
	do {
		have = 0;
		rv = p->f->C_FindObjects(p->session, found + total,
					 FIND_MAX - total, &have);
		if (rv == CKR_OK && have > FIND_MAX - total)
			rv = CKR_GENERAL_ERROR;
		if (rv == CKR_OK)
			total += have;
	} while (rv == CKR_OK && have && total < FIND_MAX);
	p->f->C_FindObjectsFinal(p->session);
	return rv == CKR_OK ? (int)total : p11_fail("C_FindObjects", rv);
}

static int find_one(struct p11 *p, CK_OBJECT_CLASS class, const char *name,
		    CK_OBJECT_HANDLE *object)
{
	const char *what = class == CKO_PRIVATE_KEY ? "private" : "public";
	CK_OBJECT_HANDLE found[FIND_MAX] = { CK_INVALID_HANDLE };
	int n = find_objects(p, class, name, found);

	if (n < 0)
		return n;
	/* A library may also say that it found one and not say which. */
	if (!n || found[0] == CK_INVALID_HANDLE)
		return vault_fail(-ENOKEY, "%s has no %s half on token \"%s\"",
				  key_text(p, name), what, p->token);
	if (n > 1)
		return vault_fail_here("several %s EC keys are called %s on token \"%s\"; say which with id= in its uri",
				  what, key_text(p, name) + 4, p->token);
	*object = found[0];
	return 0;
}

static bool is_true(struct p11 *p, CK_OBJECT_HANDLE object,
		    CK_ATTRIBUTE_TYPE type, bool otherwise)
{
	CK_BBOOL value = CK_FALSE;
	CK_ATTRIBUTE a = { type, &value, sizeof(value) };

	if (p->f->C_GetAttributeValue(p->session, object, &a, 1) != CKR_OK ||
	    a.ulValueLen != sizeof(value))
		return otherwise;
	return value;
}

/* Such a key works, but the token does not keep what a vault is there for. */
static void warn_if_loose(struct p11 *p, const struct p11_key *key)
{
	static char warned[KEY_NAME_SIZE] = "\n";

	if (!is_true(p, key->private, CKA_EXTRACTABLE, false) &&
	    is_true(p, key->private, CKA_SENSITIVE, true))
		return;
	if (!strcmp(warned, key->name))
		return;
	snprintf(warned, sizeof(warned), "%s", key->name);
	log_warning("%s on token \"%s\" can be read out of the token; a vault key should be sensitive and not extractable",
		    key_text(p, key->name), p->token);
}

static int read_point(struct p11 *p, CK_OBJECT_HANDLE public,
		      const char *name, uint8_t spki[SPKI_P256_SIZE])
{
	uint8_t params[64], point[256], *raw = point;
	CK_ATTRIBUTE a[] = {
		{ CKA_EC_PARAMS, params, sizeof(params) },
		{ CKA_EC_POINT, point, sizeof(point) },
	};
	CK_RV rv = p->f->C_GetAttributeValue(p->session, public, a, 2);

	if (rv == CKR_BUFFER_TOO_SMALL)
		a[0].ulValueLen = 0;
	else if (rv != CKR_OK)
		return p11_fail("reading the public key", rv);
	if (a[0].ulValueLen != sizeof(p256_params) ||
	    memcmp(params, p256_params, sizeof(p256_params)))
		return vault_fail(-ENOKEY, "%s is not on the curve P-256",
				  key_text(p, name));
	/* PKCS#11 says DER; some modules give the point as it is. */
	if (a[1].ulValueLen == POINT_DER_SIZE && point[0] == 0x04 &&
	    point[1] == POINT_UNCOMPRESSED)
		raw += POINT_DER_SIZE - POINT_UNCOMPRESSED;
	else if (a[1].ulValueLen != POINT_UNCOMPRESSED)
		return vault_fail(-EKEYREJECTED, "%s has a public point of %lu bytes",
				  key_text(p, name), a[1].ulValueLen);
	if (raw[0] != 0x04)
		return vault_fail(-EKEYREJECTED, "%s has a compressed public point",
				  key_text(p, name));
	spki_p256(spki, raw + 1);
	return 0;
}

int p11_key_find(struct p11 *p, const char *name, struct p11_key **key)
{
	CK_OBJECT_HANDLE public = CK_INVALID_HANDLE;
	struct p11_key *k;
	size_t i;
	int err;

	for (i = 0; i < p->n_keys; i++) {
		*key = &p->keys[i];
		if (!strcmp((*key)->name, name))
			return 0;
	}
	if (strlen(name) >= KEY_NAME_SIZE)
		return vault_fail(-ENOKEY, "the key's name is too long");
	if (!*name && !p11_kit_uri_get_attribute(p->uri, CKA_LABEL) &&
	    !p11_kit_uri_get_attribute(p->uri, CKA_ID))
		return vault_fail(-ENOKEY, "no key is named; add object= to its uri, or say VAULT:KEY");
	if (p->n_keys == MAX_KEYS)
		p->n_keys = 0;
	k = &p->keys[p->n_keys];
	copy_text(k->name, sizeof(k->name), name);
	err = find_one(p, CKO_PRIVATE_KEY, name, &k->private);
	if (!err)
		err = find_one(p, CKO_PUBLIC_KEY, name, &public);
	if (!err)
		err = read_point(p, public, name, k->spki);
	if (err)
		return err;
	warn_if_loose(p, k);
	p->n_keys++;
	*key = k;
	return 0;
}

static CK_RV derive(struct p11 *p, const struct p11_key *key, uint8_t *point,
		    CK_ULONG len, CK_OBJECT_HANDLE *object)
{
	CK_ECDH1_DERIVE_PARAMS params = {
		.kdf = CKD_NULL,
		.pPublicData = point,
		.ulPublicDataLen = len,
	};
	CK_MECHANISM mechanism = { CKM_ECDH1_DERIVE, &params, sizeof(params) };
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ULONG size = X_SIZE;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
		{ CKA_VALUE_LEN, &size, sizeof(size) },
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_SENSITIVE, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
	};

	*object = CK_INVALID_HANDLE;
	return p->f->C_DeriveKey(p->session, &mechanism, key->private, template,
				 sizeof(template) / sizeof(template[0]),
				 object);
}

static bool gone(CK_RV rv)
{
	switch (rv) {
	case CKR_DEVICE_REMOVED:
	case CKR_DEVICE_ERROR:
	case CKR_TOKEN_NOT_PRESENT:
	case CKR_SESSION_HANDLE_INVALID:
	case CKR_SESSION_CLOSED:
	case CKR_OBJECT_HANDLE_INVALID:
	case CKR_KEY_HANDLE_INVALID:
	case CKR_CRYPTOKI_NOT_INITIALIZED:
	case CKR_USER_NOT_LOGGED_IN:
		return true;
	default:
		return false;
	}
}

/* Tokens take the point raw or DER-wrapped: what worked is remembered. */
static CK_RV derive_either(struct p11 *p, const struct p11_key *key,
			   const uint8_t point[POINT_SIZE],
			   CK_OBJECT_HANDLE *object)
{
	uint8_t der[POINT_DER_SIZE] = { 0x04, POINT_UNCOMPRESSED, 0x04 };
	uint8_t *raw = der + POINT_DER_SIZE - POINT_UNCOMPRESSED;
	CK_RV rv = CKR_GENERAL_ERROR;

	memcpy(raw + 1, point, POINT_SIZE);
	if (p->encoding != POINT_DER) {
		rv = derive(p, key, raw, POINT_UNCOMPRESSED, object);
		if (rv == CKR_OK)
			p->encoding = POINT_RAW;
	}
	if (p->encoding == POINT_DER ||
	    (p->encoding == POINT_UNKNOWN && rv != CKR_OK && !gone(rv))) {
		rv = derive(p, key, der, POINT_DER_SIZE, object);
		if (rv == CKR_OK)
			p->encoding = POINT_DER;
	}
	return rv;
}

int p11_key_derive(struct p11 *p, const struct p11_key *key,
		   const uint8_t point[POINT_SIZE], uint8_t x[X_SIZE])
{
	uint8_t value[2 * X_SIZE];
	CK_ATTRIBUTE a = { CKA_VALUE, value, sizeof(value) };
	CK_OBJECT_HANDLE object;
	CK_RV rv;
	int err = 0;

	rv = derive_either(p, key, point, &object);
	if (rv != CKR_OK)
		return p11_fail("C_DeriveKey (CKM_ECDH1_DERIVE)", rv);
	rv = p->f->C_GetAttributeValue(p->session, object, &a, 1);
	p->f->C_DestroyObject(p->session, object);
	if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)
		err = p11_fail("reading the derived value", rv);
	else if (a.ulValueLen != X_SIZE)
		err = vault_fail(-EKEYREJECTED, "the token derived a value of %lu bytes instead of %d",
				 a.ulValueLen, X_SIZE);
	else
		memcpy(x, value, X_SIZE);
	explicit_bzero(value, sizeof(value));
	return err;
}
