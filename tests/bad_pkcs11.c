// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A PKCS#11 library that misbehaves
 *
 * It stands in front of SoftHSM (or of what BAD_PKCS11_REAL names) and goes
 * wrong in the way that BAD_PKCS11 names, or, without that variable, the part
 * of its own file's name between "bad_pkcs11-" and ".so":
 *
 *	hang hang-init	never returns from C_DeriveKey, C_Initialize
 *	crash exit	ends the process in C_DeriveKey
 *	garbage zero	derives another value
 *	short long	derives a value of another length
 *	error gone	C_DeriveKey fails with a vendor's code, or as if removed
 *	gone-once	as if removed, once per process, then well
 *	slots		says that there are very many slots
 *	null		has no function list
 *	prints		writes replies of its own to standard output
 *	raw der		takes points in that form only
 *	point		gives public points without their DER wrapping
 *	sandbox		tries what it must not be able to do, and derives the right
 *			value only if all of it is refused
 *	logins		works, and says on standard error when C_Login is called
 *	slow-init	likewise, and takes 1.5 seconds for C_Initialize
 *	no-pin		C_Login says that the token has no PIN
 *	counts		likewise of looks for a private key and of C_DeriveKey
 *	held		counts, and C_DeriveKey waits for a file with the library's
 *			name and ".go", for 20 seconds at most
 *	slow-look	counts, and takes 1.5 seconds for such a look
 *	late		takes 13 seconds for C_DeriveKey, which is right
 *
 * A file with its own name and ".mode" goes before that name, each time that the
 * library is opened.  What follows a dot in a name is there to tell libraries of
 * one mode apart.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define REAL "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST real, list;
static char mode[32];
static const char *library = "";

static void say(const char *text)
{
	fprintf(stderr, "%s: %s, in %d\n", library, text, getpid());
}

static int is(const char *name)
{
	return !strcmp(mode, name);
}

static int counts(void)
{
	return is("counts") || is("held") || is("slow-look");
}

/* Of the file beside the library, whose full path that is. */
static const char *mode_in_file(const char *library)
{
	static char text[32];
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s.mode", library);
	f = fopen(path, "re");
	if (!f || !fgets(text, sizeof(text), f))
		text[0] = 0;
	if (f)
		fclose(f);
	text[strcspn(text, "\n")] = 0;
	return text[0] ? text : NULL;
}

static void find_mode(void)
{
	const char *env = getenv("BAD_PKCS11"), *name;
	Dl_info info;

	if (dladdr(&list, &info))
		library = info.dli_fname;
	if (!env && *library) {
		name = strstr(library, "bad_pkcs11-");
		env = mode_in_file(library) ?:
		      name ? name + strlen("bad_pkcs11-") : "";
	}
	snprintf(mode, sizeof(mode), "%.*s", (int)strcspn(env ? env : "", "."),
		 env ? env : "");
}

static void hang(void)
{
	say("it hangs");
	for (;;)
		pause();
}

static CK_RV bad_initialize(CK_VOID_PTR args)
{
	if (is("hang-init"))
		hang();
	if (is("slow-init")) {
		say("C_Initialize is called");
		usleep(1500000);
	}
	return real.C_Initialize(args);
}

static CK_RV bad_get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots,
			       CK_ULONG_PTR n)
{
	CK_RV rv = real.C_GetSlotList(present, slots, n);

	if (is("slots"))
		*n = 1000000000;
	return rv;
}

static CK_RV bad_find(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template,
		      CK_ULONG count)
{
	CK_ULONG i;

	for (i = 0; i < count && counts(); i++) {
		if (template[i].type != CKA_CLASS ||
		    *(CK_OBJECT_CLASS *)template[i].pValue != CKO_PRIVATE_KEY)
			continue;
		say("a key is looked for");
		if (is("slow-look"))
			usleep(1500000);
	}
	return real.C_FindObjectsInit(session, template, count);
}

static CK_RV bad_login(CK_SESSION_HANDLE session, CK_USER_TYPE user,
		       CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
	if (is("logins") || is("slow-init"))
		say("C_Login is called");
	if (is("no-pin"))
		return CKR_USER_PIN_NOT_INITIALIZED;
	return real.C_Login(session, user, pin, len);
}

static void wait_for_go(void)
{
	char path[512];
	int i;

	snprintf(path, sizeof(path), "%s.go", library);
	for (i = 0; i < 400 && access(path, F_OK); i++)
		usleep(50000);
}

/* What a library could do to the host: 0 if nothing of it is possible. */
static int break_out(void)
{
	char *argv[] = { "/bin/true", NULL };
	int done = 0;
	pid_t child;

	if (socket(AF_NETLINK, SOCK_RAW, 0) >= 0)
		done = 1;
	if (socket(AF_ALG, SOCK_SEQPACKET, 0) >= 0)
		done = 2;
	if (!ptrace(PTRACE_ATTACH, getppid(), NULL, NULL))
		done = 3;
	if (!seteuid(12345) || !setegid(12345))
		done = 4;
	child = fork();
	if (!child) {
		execv(argv[0], argv);
		_exit(77);
	}
	if (child > 0) {
		int status = 0;

		while (waitpid(child, &status, 0) < 0)
			;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 77)
			done = 5;
	}
	if (done)
		fprintf(stderr, "broke out: %d\n", done);
	return done;
}

static CK_RV bad_derive(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
			CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR template,
			CK_ULONG count, CK_OBJECT_HANDLE_PTR object)
{
	CK_ECDH1_DERIVE_PARAMS *params = mechanism->pParameter;
	static const char forged[] =
		"{\"id\":2,\"x\":\"00\"}\n{\"id\":3,\"x\":\"00\"}\n";
	static int removed;

	if (counts())
		say("C_DeriveKey is called");
	if (is("held"))
		wait_for_go();
	if (is("late"))
		sleep(13);
	if (is("hang"))
		hang();
	if (is("crash"))
		abort();
	if (is("exit"))
		exit(0);
	if (is("error"))
		return CKR_VENDOR_DEFINED | 7;
	if (is("gone") || (is("gone-once") && !removed++))
		return CKR_DEVICE_REMOVED;
	if (is("raw") && params->ulPublicDataLen != 65)
		return CKR_MECHANISM_PARAM_INVALID;
	if (is("der") && params->ulPublicDataLen != 67)
		return CKR_MECHANISM_PARAM_INVALID;
	if (is("sandbox") && break_out())
		return CKR_GENERAL_ERROR;
	if (is("prints") &&
	    write(STDOUT_FILENO, forged, sizeof(forged) - 1) < 0)
		return CKR_GENERAL_ERROR;
	return real.C_DeriveKey(session, mechanism, key, template, count,
				object);
}

static void spoil(CK_ATTRIBUTE_PTR a)
{
	CK_BYTE *value = a->pValue;
	CK_ULONG i;

	if (a->type == CKA_VALUE && value && a->ulValueLen == 32) {
		for (i = 0; i < 32 && (is("garbage") || is("zero")); i++)
			value[i] = is("zero") ? 0 : value[i] ^ 0x5a;
		if (is("short"))
			a->ulValueLen = 16;
		if (is("long"))
			a->ulValueLen = 1 << 20;
	}
	if (a->type == CKA_EC_POINT && value && a->ulValueLen == 67 &&
	    is("point")) {
		memmove(value, value + 2, 65);
		a->ulValueLen = 65;
	}
}

static CK_RV bad_get_attribute(CK_SESSION_HANDLE session,
			       CK_OBJECT_HANDLE object,
			       CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	CK_RV rv = real.C_GetAttributeValue(session, object, template, count);
	CK_ULONG i;

	for (i = 0; rv == CKR_OK && i < count; i++)
		spoil(&template[i]);
	return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	const char *path = getenv("BAD_PKCS11_REAL");
	void *library = dlopen(path ? path : REAL, RTLD_NOW | RTLD_LOCAL);
	CK_FUNCTION_LIST *functions;
	CK_C_GetFunctionList get;

	if (!library)
		return CKR_GENERAL_ERROR;
	get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	if (!get || get(&functions) != CKR_OK)
		return CKR_GENERAL_ERROR;
	find_mode();
	real = list = *functions;
	list.C_GetFunctionList = C_GetFunctionList;
	list.C_Initialize = bad_initialize;
	list.C_GetSlotList = bad_get_slot_list;
	list.C_Login = bad_login;
	list.C_FindObjectsInit = bad_find;
	list.C_DeriveKey = bad_derive;
	list.C_GetAttributeValue = bad_get_attribute;
	*out = is("null") ? NULL : &list;
	return CKR_OK;
}
