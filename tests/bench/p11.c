// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What SoftHSM and OpenSSL take by themselves, in microseconds
 *
 *	bench_p11 derive	one call of the vault: ECDH with its key `root`
 *	bench_p11 unwrap ROUNDS	a key of a DEK's size: C_UnwrapKey, and OpenSSL's
 *				AES key wrap
 *
 * The token is `vaultring`, its PIN in the variable PIN.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <p11-kit/pkcs11.h>

#include <openssl/ec.h>
#include <openssl/evp.h>

#include "bench.h"

#define LIBRARY "/usr/lib/softhsm/libsofthsm2.so"
#define DERIVES 9
#define UNWRAPS 200
#define KEY_SIZE 64
#define WRAPPED_SIZE (KEY_SIZE + 8)
#define POINT_SIZE 65

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY;
static CK_KEY_TYPE generic = CKK_GENERIC_SECRET;

/* Every call must work. */
static void call(CK_RV rv, const char *name)
{
	if (rv != CKR_OK)
		die(0, "%s gives 0x%lx", name, rv);
}

#define CALL(name, ...) call(p11->name(__VA_ARGS__), #name)

static CK_SLOT_ID find_slot(void)
{
	CK_SLOT_ID slots[32];
	CK_ULONG n = 32, i;
	CK_TOKEN_INFO info;

	CALL(C_GetSlotList, CK_TRUE, slots, &n);
	for (i = 0; i < n; i++)
		if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
		    !memcmp(info.label, "vaultring ", 10))
			return slots[i];
	die(0, "no token vaultring");
}

static void log_in(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	char *pin = getenv("PIN");
	CK_C_GetFunctionList get;

	if (!library || !pin)
		die(0, "%s or PIN is missing", LIBRARY);
	get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	if (!get)
		die(0, "%s is no PKCS#11 library", LIBRARY);
	call(get(&p11), "C_GetFunctionList");
	CALL(C_Initialize, NULL);
	CALL(C_OpenSession, find_slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION,
	     NULL, NULL, &session);
	CALL(C_Login, session, CKU_USER, (CK_BYTE *)pin, strlen(pin));
}

/*
 * ECDH
 */

static CK_OBJECT_HANDLE find_root(void)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_LABEL, "root", 4 },
	};
	CK_OBJECT_HANDLE key;
	CK_ULONG n;

	CALL(C_FindObjectsInit, session, template, 2);
	CALL(C_FindObjects, session, &key, 1, &n);
	CALL(C_FindObjectsFinal, session);
	if (n != 1)
		die(0, "no key root");
	return key;
}

static void make_point(CK_BYTE point[POINT_SIZE])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *raw = NULL;

	if (!key || EVP_PKEY_get1_encoded_public_key(key, &raw) != POINT_SIZE)
		die(0, "no point");
	memcpy(point, raw, POINT_SIZE);
	OPENSSL_free(raw);
	EVP_PKEY_free(key);
}

/* As the worker does: derive, read, destroy. */
static double derive_once(CK_OBJECT_HANDLE key, CK_BYTE point[POINT_SIZE])
{
	CK_BYTE value[32];
	CK_ULONG size = sizeof(value);
	CK_ECDH1_DERIVE_PARAMS params = {
		.kdf = CKD_NULL,
		.ulPublicDataLen = POINT_SIZE,
		.pPublicData = point,
	};
	CK_MECHANISM mechanism = { CKM_ECDH1_DERIVE, &params, sizeof(params) };
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &secret_class, sizeof(secret_class) },
		{ CKA_KEY_TYPE, &generic, sizeof(generic) },
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_SENSITIVE, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
		{ CKA_VALUE_LEN, &size, sizeof(size) },
	};
	CK_ATTRIBUTE want = { CKA_VALUE, value, sizeof(value) };
	double start = now_us();
	CK_OBJECT_HANDLE derived;

	CALL(C_DeriveKey, session, &mechanism, key, template, 6, &derived);
	CALL(C_GetAttributeValue, session, derived, &want, 1);
	CALL(C_DestroyObject, session, derived);
	return now_us() - start;
}

static void derive(void)
{
	CK_OBJECT_HANDLE key = find_root();
	double times[DERIVES];
	CK_BYTE point[POINT_SIZE];
	int i;

	make_point(point);
	derive_once(key, point);
	for (i = 0; i < DERIVES; i++)
		times[i] = derive_once(key, point);
	printf("%.0f\n", median(times, DERIVES));
}

/*
 * Unwrapping
 */

static CK_OBJECT_HANDLE make_wrapping_key(void)
{
	CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
	CK_ULONG size = 32;
	CK_ATTRIBUTE template[] = {
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_VALUE_LEN, &size, sizeof(size) },
		{ CKA_WRAP, &yes, sizeof(yes) },
		{ CKA_UNWRAP, &yes, sizeof(yes) },
	};
	CK_OBJECT_HANDLE key;

	CALL(C_GenerateKey, session, &mechanism, template, 4, &key);
	return key;
}

static CK_OBJECT_HANDLE make_secret(void)
{
	static CK_BYTE value[KEY_SIZE] = { 1, 2, 3 };
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &secret_class, sizeof(secret_class) },
		{ CKA_KEY_TYPE, &generic, sizeof(generic) },
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
		{ CKA_VALUE, value, sizeof(value) },
	};
	CK_OBJECT_HANDLE key;

	CALL(C_CreateObject, session, template, 5, &key);
	return key;
}

static double unwrap_round(CK_OBJECT_HANDLE with, CK_BYTE *wrapped, CK_ULONG len)
{
	CK_MECHANISM mechanism = { CKM_AES_KEY_WRAP, NULL, 0 };
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &secret_class, sizeof(secret_class) },
		{ CKA_KEY_TYPE, &generic, sizeof(generic) },
		{ CKA_TOKEN, &no, sizeof(no) },
	};
	CK_OBJECT_HANDLE keys[UNWRAPS];
	double took, start = now_us();
	int i;

	for (i = 0; i < UNWRAPS; i++)
		CALL(C_UnwrapKey, session, &mechanism, with, wrapped, len,
		     template, 3, &keys[i]);
	took = now_us() - start;
	for (i = 0; i < UNWRAPS; i++)
		CALL(C_DestroyObject, session, keys[i]);
	return took / UNWRAPS;
}

/* The cipher is looked up once: that takes longer than to unwrap. */
static int openssl_wrap(EVP_CIPHER_CTX *ctx, int wrap, const uint8_t *key,
			const uint8_t *in, int len, uint8_t *out)
{
	static EVP_CIPHER *cipher;
	int n = 0, last = 0;

	if (!cipher)
		cipher = EVP_CIPHER_fetch(NULL, "AES-256-WRAP", NULL);
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	if (!cipher ||
	    EVP_CipherInit_ex2(ctx, cipher, key, NULL, wrap, NULL) != 1 ||
	    EVP_CipherUpdate(ctx, out, &n, in, len) != 1 ||
	    EVP_CipherFinal_ex(ctx, out + n, &last) != 1)
		die(0, "OpenSSL does not wrap or unwrap");
	return n + last;
}

static double openssl_round(void)
{
	static const uint8_t key[32] = { 7 }, plain[KEY_SIZE] = { 1 };
	uint8_t wrapped[WRAPPED_SIZE], out[WRAPPED_SIZE];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	double start;
	int i;

	if (!ctx || openssl_wrap(ctx, 1, key, plain, KEY_SIZE, wrapped) !=
	    WRAPPED_SIZE)
		die(0, "OpenSSL does not wrap");
	start = now_us();
	for (i = 0; i < UNWRAPS; i++)
		if (openssl_wrap(ctx, 0, key, wrapped, WRAPPED_SIZE, out) !=
		    KEY_SIZE || memcmp(out, plain, KEY_SIZE))
			die(0, "OpenSSL unwraps something else");
	start = (now_us() - start) / UNWRAPS;
	EVP_CIPHER_CTX_free(ctx);
	return start;
}

static void unwrap(int rounds)
{
	CK_OBJECT_HANDLE with = make_wrapping_key(), secret = make_secret();
	CK_MECHANISM mechanism = { CKM_AES_KEY_WRAP, NULL, 0 };
	CK_BYTE wrapped[WRAPPED_SIZE];
	CK_ULONG len = sizeof(wrapped);

	CALL(C_WrapKey, session, &mechanism, with, secret, wrapped, &len);
	unwrap_round(with, wrapped, len);
	while (rounds--) {
		sample("load", "softhsm", unwrap_round(with, wrapped, len));
		sample("load", "openssl", openssl_round());
	}
}

int main(int argc, char *argv[])
{
	if (argc == 2 && !strcmp(argv[1], "derive")) {
		log_in();
		derive();
	} else if (argc == 3 && !strcmp(argv[1], "unwrap")) {
		log_in();
		unwrap(atoi(argv[2]));
	} else {
		fputs("usage: bench_p11 derive|unwrap ROUNDS\n", stderr);
		return 2;
	}
	CALL(C_Finalize, NULL);
	return 0;
}
