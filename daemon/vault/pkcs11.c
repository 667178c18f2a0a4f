// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Vaults that speak PKCS#11: the library, the token, the session
 *
 * Libraries remember things: SoftHSM reads its list of tokens in C_Initialize
 * only, and every session dies with its token.  So whatever fails in a session
 * that has been there for a while is tried once more with everything made anew.
 * A PIN that was refused is the exception: it is not tried again before its file
 * changes or somebody asks for a check, because tokens lock themselves.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"
#include "../util.h"
#include "pkcs11.h"

#define PIN_MAX 255
#define MAX_SLOTS 256

static struct p11 p11 = {
	.pin = { .asker = "the token", .what = "PIN", .setting = "pin-source" },
};

int p11_fail(const char *what, CK_RV rv)
{
	int err;

	/*
	 * A token without a PIN is none of these: SoftHSM says so when another
	 * process is writing the token's file.
	 */
	switch (rv) {
	case CKR_PIN_INCORRECT:
	case CKR_PIN_INVALID:
	case CKR_PIN_LEN_RANGE:
	case CKR_PIN_EXPIRED:
	case CKR_PIN_LOCKED:
	case CKR_KEY_FUNCTION_NOT_PERMITTED:
	case CKR_KEY_TYPE_INCONSISTENT:
	case CKR_MECHANISM_INVALID:
	case CKR_FUNCTION_NOT_SUPPORTED:
		err = -ENOKEY;
		break;
	case CKR_MECHANISM_PARAM_INVALID:
	case CKR_DOMAIN_PARAMS_INVALID:
		err = -EKEYREJECTED;
		break;
	default:
		err = -EAGAIN;
	}
	return vault_fail(err, "%s failed: %s (0x%lx)", what,
			  p11_kit_strerror(rv), rv);
}

static void session_close(struct p11 *p)
{
	if (p->open)
		p->f->C_CloseSession(p->session);
	p->open = false;
	p->n_keys = 0;
}

static void module_close(struct p11 *p)
{
	session_close(p);
	if (p->f)
		p->f->C_Finalize(NULL);
	p->f = NULL;
}

/* The library stays loaded: few survive dlclose(). */
static int module_open(struct p11 *p)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	CK_C_GetFunctionList get;
	CK_FUNCTION_LIST *f = NULL;
	CK_RV rv;

	if (p->f)
		return 0;
	if (!p->library)
		p->library = dlopen(p->module_path, RTLD_NOW | RTLD_LOCAL);
	if (!p->library)
		return vault_fail(-EAGAIN, "cannot load the PKCS#11 library: %s",
				  dlerror());
	get = (CK_C_GetFunctionList)dlsym(p->library, "C_GetFunctionList");
	if (!get)
		return vault_fail(-EAGAIN, "%s is not a PKCS#11 library",
				  p->module_path);
	rv = get(&f);
	if (rv != CKR_OK || !f)
		return p11_fail("C_GetFunctionList", rv ?: CKR_GENERAL_ERROR);
	rv = f->C_Initialize(&args);
	if (rv == CKR_CANT_LOCK || rv == CKR_NEED_TO_CREATE_THREADS)
		rv = f->C_Initialize(NULL);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return p11_fail("C_Initialize", rv);
	p->f = f;
	return 0;
}

static bool slot_matches(struct p11 *p, CK_SLOT_ID slot, CK_TOKEN_INFO *token)
{
	CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(p->uri);
	CK_SLOT_INFO info;

	if (wanted != (CK_SLOT_ID)-1 && wanted != slot)
		return false;
	if (p->f->C_GetSlotInfo(slot, &info) != CKR_OK ||
	    p->f->C_GetTokenInfo(slot, token) != CKR_OK)
		return false;
	return (token->flags & CKF_TOKEN_INITIALIZED) &&
	       p11_kit_uri_match_slot_info(p->uri, &info) &&
	       p11_kit_uri_match_token_info(p->uri, token);
}

static int slot_find(struct p11 *p, CK_SLOT_ID *slot, CK_TOKEN_INFO *token)
{
	CK_SLOT_ID slots[MAX_SLOTS];
	CK_TOKEN_INFO info;
	CK_ULONG i, n = MAX_SLOTS, found = 0;
	CK_RV rv;

	rv = p->f->C_GetSlotList(CK_TRUE, slots, &n);
	if (rv != CKR_OK)
		return p11_fail("C_GetSlotList", rv);
	if (n > MAX_SLOTS)
		return vault_fail(-EAGAIN, "C_GetSlotList says that there are %lu slots",
				  n);
	for (i = 0; i < n; i++) {
		if (!slot_matches(p, slots[i], &info))
			continue;
		*slot = slots[i];
		*token = info;
		found++;
	}
	if (!found)
		return vault_fail(-EAGAIN, "token \"%s\" is not present",
				  p->token);
	if (found > 1)
		return vault_fail_here("%lu tokens match \"%s\"; add serial= to its uri",
				  found, p->token);
	return 0;
}

static int login(struct p11 *p, const CK_TOKEN_INFO *token)
{
	struct secret pin = { 0 };
	int err = 0;
	CK_RV rv;

	if (!(token->flags & CKF_LOGIN_REQUIRED))
		return 0;
	/* Tokens in files write at a login. */
	if (!vault_awaited())
		return vault_fail(-EAGAIN, "nobody waits for it any more");
	if (token->flags & CKF_PROTECTED_AUTHENTICATION_PATH && !p->pin.source) {
		rv = p->f->C_Login(p->session, CKU_USER, NULL, 0);
	} else {
		if (!p->pin.source)
			return vault_fail_here("the token wants a PIN; set pin-source");
		err = pin_read(&p->pin, "", PIN_MAX, &pin);
		if (err)
			return err;
		rv = p->f->C_Login(p->session, CKU_USER, pin.data, pin.len);
		secret_free(&pin);
	}
	if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
		return 0;
	err = p11_fail("C_Login", rv);
	if (err == -ENOKEY) {
		pin_refuse(&p->pin, "", p11_kit_strerror(rv));
		vault_fail(err, "the token refused the PIN in %s: %s",
			   p->pin.source ?: "its reader", p11_kit_strerror(rv));
	}
	return err;
}

static int session_open(struct p11 *p)
{
	CK_TOKEN_INFO token = { 0 };
	CK_SLOT_ID slot = 0;
	CK_RV rv;
	int err;

	if (p->open)
		return 0;
	err = module_open(p);
	if (!err)
		err = slot_find(p, &slot, &token);
	if (err)
		return err;
	rv = p->f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL,
				 &p->session);
	if (rv != CKR_OK)
		return p11_fail("C_OpenSession", rv);
	p->open = true;
	return login(p, &token);
}

typedef int (*session_work)(struct p11 *p, const char *key, void *arg);

/*
 * Every failure ends the session and the library's memory of the token.  What
 * failed in an old session is worth a second try.  So is a refusal: a token that
 * is taken out at this moment looks like one without the key, and by the second
 * try it is away.
 */
static int in_session(const char *key, session_work work, void *arg)
{
	bool old, worked, again = false;
	int err;

	do {
		old = p11.open;
		err = session_open(&p11);
		worked = !err;
		if (!err)
			err = work(&p11, key, arg);
		if (!err)
			return 0;
		module_close(&p11);
		if (!old && again)
			return err;
		again = true;
	} while (old || (worked && err == -ENOKEY));
	return err;
}

static int work_public_key(struct p11 *p, const char *name, void *spki)
{
	struct p11_key *key;
	int err = p11_key_find(p, name, &key);

	if (!err)
		memcpy(spki, key->spki, sizeof(key->spki));
	return err;
}

static int p11_public_key(const char *key, bool fresh, uint8_t *spki,
			  size_t *len)
{
	if (fresh) {
		p11.pin.n_refused = 0;
		p11.n_keys = 0;
	}
	*len = SPKI_P256_SIZE;
	return in_session(key, work_public_key, spki);
}

/* A new session, so that the PIN counts; nobody is there to type at a reader. */
static int p11_poll(const char *key, uint8_t *spki, size_t *len)
{
	if (p11.pin.source)
		module_close(&p11);
	p11.n_keys = 0;
	*len = SPKI_P256_SIZE;
	return in_session(key, work_public_key, spki);
}

struct exchange {
	const uint8_t *point;
	uint8_t *x;
};

static int work_exchange(struct p11 *p, const char *name, void *arg)
{
	const struct exchange *e = arg;
	struct p11_key *key;
	int err = p11_key_find(p, name, &key);

	return err ?: p11_key_derive(p, key, e->point, e->x);
}

static int p11_exchange(const char *key, const uint8_t point[POINT_SIZE],
			uint8_t x[X_SIZE])
{
	struct exchange e = { .point = point, .x = x };

	return in_session(key, work_exchange, &e);
}

/* Token labels are padded with spaces. */
static void token_name(struct p11 *p)
{
	CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(p->uri);
	int len = sizeof(info->label);

	while (len && (!info->label[len - 1] || info->label[len - 1] == ' '))
		len--;
	memcpy(p->token, info->label, len);
	p->token[len] = 0;
	if (!len)
		copy_text(p->token, sizeof(p->token), "any");
}

static int p11_configure(void)
{
	P11KitUri *uri = p11_kit_uri_new();
	int rv, err;

	if (!uri)
		return vault_fail(-EAGAIN, "out of memory");
	module_close(&p11);
	p11_kit_uri_free(p11.uri);
	p11.uri = uri;
	rv = p11_kit_uri_parse(vault_setting("uri"), P11_KIT_URI_FOR_ANY, uri);
	if (rv != P11_KIT_URI_OK)
		return vault_fail(-ENOKEY, "its uri is not a pkcs11: URI (RFC 7512): %s",
				  p11_kit_uri_message(rv));
	if (p11_kit_uri_any_unrecognized(uri))
		return vault_fail(-ENOKEY, "its uri has attributes that are not in RFC 7512");
	if (p11_kit_uri_get_pin_value(uri))
		return vault_fail(-ENOKEY, "its uri holds a PIN; put the PIN into a file and name it in pin-source");
	p11.module_path = p11_kit_uri_get_module_path(uri);
	if (!p11.module_path || *p11.module_path != '/')
		return vault_fail(-ENOKEY, "its uri has no module-path=/... of a PKCS#11 library");
	err = pin_configure(&p11.pin, vault_setting("pin-source") ?:
			    p11_kit_uri_get_pin_source(uri));
	if (err)
		return err;
	token_name(&p11);
	return 0;
}

static void p11_close(void)
{
	module_close(&p11);
}

static const char *const p11_settings[] = {
	"uri", "pin-source", "environment", NULL
};

const struct vault_ops vault_ops = {
	.scheme		= "pkcs11",
	.settings	= p11_settings,
	.configure	= p11_configure,
	.public_key	= p11_public_key,
	.poll		= p11_poll,
	.exchange	= p11_exchange,
	.close		= p11_close,
};
