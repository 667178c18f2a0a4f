// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An OpenBao vault's section in vaultring.conf
 *
 * All of it ends up in paths and in a policy, so it holds nothing that means
 * something there.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "openbao_conf.h"
#include "util.h"

#define HTTPS		"https://"
#define DIGITS		"0123456789"
#define LETTERS		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define WORD		LETTERS DIGITS "_"
#define MAX_VERSION	1000000

/* As the server has it: no point or dash at the ends, so no ".." either. */
static bool name_len_ok(const char *name, size_t len)
{
	return len && len < OPENBAO_NAME_SIZE &&
	       strspn(name, WORD "-.") >= len &&
	       strspn(name, WORD) && strchr(WORD, name[len - 1]);
}

bool openbao_name_ok(const char *name)
{
	return name_len_ok(name, strlen(name));
}

/* Names between slashes. */
static bool path_ok(const char *path)
{
	size_t len;

	if (strlen(path) >= OPENBAO_NAME_SIZE)
		return false;
	do {
		len = strcspn(path, "/");
		if (!name_len_ok(path, len))
			return false;
		path += len + 1;
	} while (path[-1]);
	return true;
}

/* HOST[:PORT], a name or an IPv4 address; the resolver has the last word. */
static bool host_ok(const char *host, size_t len)
{
	size_t name = strspn(host, LETTERS DIGITS "-."), port;

	if (len + strlen(HTTPS) >= OPENBAO_SERVER_SIZE || !name ||
	    !isalnum((unsigned char)*host))
		return false;
	if (name == len)
		return true;
	port = host[name] == ':' ? strspn(host + name + 1, DIGITS) : 0;
	return port && port <= 5 && name + 1 + port == len;
}

static const char *read_uri(const char *uri, struct openbao_conf *conf)
{
	const char *host, *path, *key;
	size_t len = strlen(OPENBAO_SCHEME ":" HTTPS);

	if (!uri || strncmp(uri, OPENBAO_SCHEME ":" HTTPS, len))
		return "its uri does not begin with openbao:https://";
	host = uri + len;
	path = strchrnul(host, '/');
	if (!host_ok(host, path - host))
		return "its uri has no HOST[:PORT] after https://";
	memcpy(conf->server, uri + strlen(OPENBAO_SCHEME ":"),
	       path - uri - strlen(OPENBAO_SCHEME ":"));
	if (!*path || !path_ok(path + 1))
		return "its uri does not end in /MOUNT/KEY of a transit engine";
	key = strrchr(path, '/') + 1;
	copy_text(conf->key, sizeof(conf->key), key);
	if (key == path + 1)
		copy_text(conf->mount, sizeof(conf->mount), "transit");
	else
		memcpy(conf->mount, path + 1, key - 1 - (path + 1));
	return NULL;
}

static const char *read_version(const char *text, unsigned int *version)
{
	unsigned long value;
	char *end;

	if (!text || !strcmp(text, "latest"))
		return NULL;
	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || !value ||
	    value > MAX_VERSION)
		return "its key-version is neither latest nor a number from 1 on";
	*version = value;
	return NULL;
}

static const char *read_method(const char *method, const char *host_key,
			       struct openbao_conf *conf)
{
	bool sealed = method && !strcmp(method, "sealed");

	if (method && !sealed && strcmp(method, "clear"))
		return "its method is neither clear nor sealed";
	if (sealed && !host_key)
		return "its method is sealed, and that needs a host-key";
	if (!sealed && host_key)
		return "it has a host-key, which is of use with method = sealed alone";
	if (sealed && !openbao_name_ok(host_key))
		return "its host-key is not the name of a key";
	copy_text(conf->host_key, sizeof(conf->host_key), host_key ?: "");
	return NULL;
}

static const char *read_auth(openbao_setting setting, void *arg,
			     struct openbao_conf *conf)
{
	const char *mount = setting(arg, "auth-mount") ?: "approle";

	conf->approle = setting(arg, "role-id");
	if (conf->approle != !!setting(arg, "secret-id-file"))
		return "it has only one of role-id and secret-id-file";
	if (conf->approle == !!setting(arg, "token-file"))
		return "it has neither, or both, of token-file and role-id";
	if (!path_ok(mount))
		return "its auth-mount is not the path of an auth method";
	copy_text(conf->auth_mount, sizeof(conf->auth_mount), mount);
	return NULL;
}

const char *openbao_conf_read(openbao_setting setting, void *arg,
			      struct openbao_conf *conf)
{
	const char *namespace = setting(arg, "namespace") ?: "";
	const char *wrong;

	*conf = (struct openbao_conf){ 0 };
	wrong = read_uri(setting(arg, "uri"), conf);
	if (!wrong)
		wrong = read_method(setting(arg, "method"),
				    setting(arg, "host-key"), conf);
	if (!wrong)
		wrong = read_version(setting(arg, "key-version"),
				     &conf->version);
	if (!wrong)
		wrong = read_auth(setting, arg, conf);
	if (!wrong && *namespace && !path_ok(namespace))
		wrong = "its namespace is not a path such as a/b";
	if (!wrong)
		copy_text(conf->namespace, sizeof(conf->namespace), namespace);
	return wrong;
}
