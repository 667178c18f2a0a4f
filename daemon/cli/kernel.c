// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module's netlink family, for what must work without the daemon or without
 * trusting it: the state of KEKs, making and revoking them, and the pins
 */

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "cli.h"
#include "kernel_call.h"

#define MAX_REQUEST	(256 << 10)

static char error_text[512];

const char *kernel_error(void)
{
	return error_text;
}

int kernel_set_error(int err, const char *text)
{
	snprintf(error_text, sizeof(error_text), "%s", text);
	return err;
}

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct nlattr *attrs[VAULTRING_A_MAX + 1];
	struct exchange *exchange = arg;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, attrs, VAULTRING_A_MAX, NULL) < 0)
		return NL_SKIP;
	exchange->reply = genlmsg_hdr(nlmsg_hdr(msg));
	if (exchange->valid)
		exchange->valid(attrs, exchange->arg);
	return NL_OK;
}

static int on_done(struct nl_msg *msg, void *arg)
{
	struct exchange *exchange = arg;

	(void)msg;
	exchange->done = true;
	return NL_STOP;
}

/* The kernel's own words come behind the errno (NETLINK_EXT_ACK). */
static int on_error(struct sockaddr_nl *from, struct nlmsgerr *nlerr, void *arg)
{
	struct nlmsghdr *header = (void *)((char *)nlerr - NLMSG_HDRLEN);
	size_t skip = sizeof(*nlerr);
	struct exchange *exchange = arg;
	struct nlattr *text = NULL;

	(void)from;
	exchange->err = nlerr->error;
	exchange->done = true;
	kernel_set_error(0, nlerr->error == -EPERM ?
		  "only root may ask the module" : strerror(-nlerr->error));
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += nlerr->msg.nlmsg_len - NLMSG_HDRLEN;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS &&
	    header->nlmsg_len > NLMSG_HDRLEN + NLMSG_ALIGN(skip))
		text = nla_find((struct nlattr *)((char *)nlerr +
						  NLMSG_ALIGN(skip)),
				(int)(header->nlmsg_len - NLMSG_HDRLEN -
				      NLMSG_ALIGN(skip)), NLMSGERR_ATTR_MSG);
	if (text)
		snprintf(error_text, sizeof(error_text), "%.*s", nla_len(text),
			 (char *)nla_data(text));
	return NL_STOP;
}

int kernel_begin(struct exchange *exchange, uint8_t command, int flags)
{
	/* The kernel drains I/O in a revoke. */
	uint32_t ms = tools_timeout();
	struct timeval timeout = {
		.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000,
	};
	int family, one = 1, fd;

	exchange->sock = nl_socket_alloc();
	if (!exchange->sock || genl_connect(exchange->sock))
		return kernel_set_error(-ENOMEM, "no netlink socket");
	fd = nl_socket_get_fd(exchange->sock);
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	nl_socket_set_msg_buf_size(exchange->sock, MAX_REQUEST);
	nl_socket_set_buffer_size(exchange->sock, MAX_REQUEST, MAX_REQUEST);

	family = genl_ctrl_resolve(exchange->sock, VAULTRING_FAMILY_NAME);
	if (family < 0)
		return kernel_set_error(-ENODEV, "the vaultring module is not loaded; "
				 "try: modprobe vaultring");
	exchange->msg = nlmsg_alloc_size(MAX_REQUEST);
	if (!exchange->msg ||
	    !genlmsg_put(exchange->msg, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0,
			 flags, command, VAULTRING_FAMILY_VERSION))
		return kernel_set_error(-ENOMEM, "out of memory");
	return 0;
}

int kernel_finish(struct exchange *exchange)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int err;

	if (!cb)
		return kernel_set_error(-ENOMEM, "out of memory");
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, exchange);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_done, exchange);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_done, exchange);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, exchange);

	err = nl_send_auto(exchange->sock, exchange->msg);
	while (err >= 0 && !exchange->done)
		err = nl_recvmsgs(exchange->sock, cb);
	nl_cb_put(cb);
	if (exchange->err)
		return exchange->err;
	if (!exchange->done)
		return kernel_set_error(-ETIMEDOUT, nl_geterror(err));
	return 0;
}

void kernel_drop(struct exchange *exchange)
{
	/* It may have held a clear share's secret. */
	if (exchange->msg)
		explicit_bzero(nlmsg_data(nlmsg_hdr(exchange->msg)),
			       (size_t)nlmsg_datalen(nlmsg_hdr(exchange->msg)));
	nlmsg_free(exchange->msg);
	nl_socket_free(exchange->sock);
}

int kernel_put_answer(struct nl_msg *msg, const struct public_key *key)
{
	return nla_put(msg, VAULTRING_A_SHARE_ANSWER, (int)key->len, key->data) ?:
	       nla_put_u32(msg, VAULTRING_A_SHARE_HASH, key->hash);
}

static void take_status(struct nlattr **attrs, void *arg)
{
	struct kernel_status *status = arg;

	if (attrs[VAULTRING_A_MODULE_VERSION])
		nla_strlcpy(status->version, attrs[VAULTRING_A_MODULE_VERSION],
			    sizeof(status->version));
	status->attached = attrs[VAULTRING_A_DAEMON_PORT];
	if (attrs[VAULTRING_A_KEKS])
		status->keks = nla_get_u32(attrs[VAULTRING_A_KEKS]);
	if (attrs[VAULTRING_A_UNSEALS])
		status->unseals = nla_get_u32(attrs[VAULTRING_A_UNSEALS]);
}

int kernel_status(struct kernel_status *status)
{
	struct exchange exchange = { .valid = take_status, .arg = status };
	int err;

	memset(status, 0, sizeof(*status));
	err = kernel_begin(&exchange, VAULTRING_CMD_STATUS_GET, 0);
	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	return err;
}

static void take_kek(struct nlattr **attrs, void *arg)
{
	static const char *const states[] = {
		[VAULTRING_KEK_STATE_ACTIVE] = "active",
		[VAULTRING_KEK_STATE_EXPIRED] = "expired",
		[VAULTRING_KEK_STATE_REVOKED] = "revoked",
	};
	char id[ID_HEX] = "";
	uint32_t state = 0;
	json_t *kek;

	if (!attrs[VAULTRING_A_NAME] || !attrs[VAULTRING_A_ID] ||
	    nla_len(attrs[VAULTRING_A_ID]) != VAULTRING_ID_SIZE)
		return;
	hex_encode(id, nla_data(attrs[VAULTRING_A_ID]), VAULTRING_ID_SIZE);
	if (attrs[VAULTRING_A_STATE])
		state = nla_get_u32(attrs[VAULTRING_A_STATE]);
	kek = json_pack("{s:s, s:s, s:s, s:n, s:i, s:i}",
			"name", nla_get_string(attrs[VAULTRING_A_NAME]),
			"id", id,
			"state", state > 0 && state <= VAULTRING_KEK_STATE_REVOKED ?
				 states[state] : "unknown",
			"lease_left", "version", 0, "transforms", 0);
	if (!kek)
		return;
	if (attrs[VAULTRING_A_VERSION])
		json_object_set_new(kek, "version", json_integer(
			nla_get_u32(attrs[VAULTRING_A_VERSION])));
	if (attrs[VAULTRING_A_LEASE_LEFT])
		json_object_set_new(kek, "lease_left", json_integer((json_int_t)
			nla_get_u64(attrs[VAULTRING_A_LEASE_LEFT])));
	if (attrs[VAULTRING_A_TRANSFORMS])
		json_object_set_new(kek, "transforms", json_integer(
			nla_get_u32(attrs[VAULTRING_A_TRANSFORMS])));
	if (attrs[VAULTRING_A_LEASE])
		json_object_set_new(kek, "lease", json_integer(
			nla_get_u32(attrs[VAULTRING_A_LEASE])));
	if (attrs[VAULTRING_A_LEASE_END])
		json_object_set_new(kek, "lease_end", json_string(
			nla_get_u32(attrs[VAULTRING_A_LEASE_END]) ==
			VAULTRING_LEASE_END_KILL ? "kill" : "keep"));
	if (attrs[VAULTRING_A_USES])
		json_object_set_new(kek, "uses", use_list(
			nla_get_u32(attrs[VAULTRING_A_USES])));
	json_array_append_new(arg, kek);
}

json_t *kernel_keks(int *err)
{
	json_t *keks = json_array();
	struct exchange exchange = { .valid = take_kek, .arg = keks };

	*err = kernel_begin(&exchange, VAULTRING_CMD_KEK_GET, NLM_F_DUMP);
	if (!*err)
		*err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	if (!*err)
		return keks;
	json_decref(keks);
	return NULL;
}

static void take_transforms(struct nlattr **attrs, void *arg)
{
	if (attrs[VAULTRING_A_TRANSFORMS])
		*(uint32_t *)arg = nla_get_u32(attrs[VAULTRING_A_TRANSFORMS]);
}

int kernel_revoke(const char *name, uint32_t *transforms)
{
	struct exchange exchange = { .valid = take_transforms, .arg = transforms };
	int err;

	*transforms = 0;
	err = kernel_begin(&exchange, VAULTRING_CMD_KEK_REVOKE, 0);
	if (!err && nla_put_string(exchange.msg, VAULTRING_A_NAME, name))
		err = kernel_set_error(-EMSGSIZE, "name too long");
	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	return err;
}

static void take_made(struct nlattr **attrs, void *arg)
{
	struct nlattr *envelope = attrs[VAULTRING_A_ENVELOPE];
	struct nlattr *id = attrs[VAULTRING_A_ID];
	struct kek_made *made = arg;

	if (!envelope || !id || nla_len(id) != VAULTRING_ID_SIZE ||
	    nla_len(envelope) > (int)sizeof(made->envelope))
		return;
	made->len = (size_t)nla_len(envelope);
	memcpy(made->envelope, nla_data(envelope), made->len);
	hex_encode(made->id, nla_data(id), VAULTRING_ID_SIZE);
}

/* The vault's name for it, and a share that it has wrapped already. */
static int put_given(struct nl_msg *msg, const struct public_key *key)
{
	return nla_put_string(msg, VAULTRING_A_SHARE_IDENTITY,
			      (const char *)key->data) ?:
	       nla_put(msg, VAULTRING_A_SHARE_CHALLENGE,
		       sizeof(key->given.wrapped), key->given.wrapped) ?:
	       nla_put(msg, VAULTRING_A_SHARE_ANSWER,
		       sizeof(key->given.secret), key->given.secret);
}

static int put_share(struct nl_msg *msg, const char *vault,
		     const struct public_key *key)
{
	struct nlattr *nest = nla_nest_start(msg, VAULTRING_A_SHARE | NLA_F_NESTED);
	int err;

	if (!nest)
		return -ENOMEM;
	err = nla_put_u32(msg, VAULTRING_A_SHARE_METHOD, key->method) ?:
	      nla_put_string(msg, VAULTRING_A_SHARE_VAULT, vault);
	if (!err && key->method == VAULTRING_METHOD_SEALED)
		err = kernel_put_answer(msg, key);
	else if (!err && key->symmetric)
		err = put_given(msg, key);
	else if (!err)
		err = nla_put(msg, VAULTRING_A_SHARE_PUBLIC_KEY, (int)key->len,
			      key->data);
	nla_nest_end(msg, nest);
	return err;
}

int kernel_put_shares(struct nl_msg *msg, const struct kek_spec *spec)
{
	int err = nla_put_u32(msg, VAULTRING_A_THRESHOLD, spec->threshold);
	size_t i;

	for (i = 0; !err && i < spec->n_shares; i++)
		err = put_share(msg, spec->shares[i].vault,
				&spec->shares[i].key);
	return err;
}

static int put_kek(struct nl_msg *msg, const struct kek_spec *spec)
{
	size_t i;
	int err;

	err = nla_put_string(msg, VAULTRING_A_NAME, spec->name) ?:
	      nla_put_u32(msg, VAULTRING_A_VERSION, spec->version) ?:
	      nla_put_u32(msg, VAULTRING_A_USES, spec->uses) ?:
	      nla_put_u32(msg, VAULTRING_A_LEASE, spec->lease) ?:
	      nla_put_u32(msg, VAULTRING_A_LEASE_END, spec->lease_end) ?:
	      nla_put_u64(msg, VAULTRING_A_NOT_BEFORE, spec->not_before) ?:
	      nla_put_u64(msg, VAULTRING_A_NOT_AFTER, spec->not_after);
	for (i = 0; !err && i < spec->n_uids; i++)
		err = nla_put_u32(msg, VAULTRING_A_UID, spec->uids[i]);
	for (i = 0; !err && i < spec->n_gids; i++)
		err = nla_put_u32(msg, VAULTRING_A_GID, spec->gids[i]);
	return err ?: kernel_put_shares(msg, spec);
}

int kernel_kek_create(const struct kek_spec *spec, struct kek_made *made)
{
	struct exchange exchange = { .valid = take_made, .arg = made };
	int err;

	memset(made, 0, sizeof(*made));
	err = kernel_begin(&exchange, VAULTRING_CMD_KEK_CREATE, 0);
	if (!err && put_kek(exchange.msg, spec))
		err = kernel_set_error(-EMSGSIZE, "its description is too long");
	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	if (!err && !made->len)
		err = kernel_set_error(-EPROTO, "the module's answer holds no envelope; "
				"are module and tools of the same version?");
	return err;
}

static int put_pin(struct nl_msg *msg, const struct pin *pin)
{
	uint8_t bytes[VAULTRING_FINGERPRINT_SIZE];
	struct nlattr *nest;
	int err;

	if (!pin->is_kek) {
		hex_decode(pin->hex, bytes, sizeof(bytes));
		return nla_put(msg, VAULTRING_A_VAULT_PIN, sizeof(bytes), bytes);
	}
	hex_decode(pin->hex, bytes, VAULTRING_ID_SIZE);
	nest = nla_nest_start(msg, VAULTRING_A_KEK_PIN);
	if (!nest)
		return -ENOMEM;
	err = nla_put_string(msg, VAULTRING_A_KEK_PIN_NAME, pin->name);
	if (!err)
		err = nla_put(msg, VAULTRING_A_KEK_PIN_ID, VAULTRING_ID_SIZE,
			      bytes);
	nla_nest_end(msg, nest);
	return err;
}

int kernel_pins_set(const struct pins *pins)
{
	struct exchange exchange = { 0 };
	const char *at = pins->text;
	struct pin pin = { 0 };
	int err = kernel_begin(&exchange, VAULTRING_CMD_PINS_SET, 0);

	while (!err && pins_next(&at, &pin) > 0)
		if (put_pin(exchange.msg, &pin))
			err = kernel_set_error(-EMSGSIZE, "too many pins");
	if (!err)
		err = kernel_finish(&exchange);
	kernel_drop(&exchange);
	return err;
}

json_t *find_kek(json_t *keks, const char *name, const char *id_hex)
{
	json_t *kek, *best = NULL;
	json_int_t newest = -1;
	size_t i;

	json_array_foreach(keks, i, kek) {
		const char *n = json_string_value(json_object_get(kek, "name"));
		const char *id = json_string_value(json_object_get(kek, "id"));
		json_int_t version = json_integer_value(
			json_object_get(kek, "version"));

		if ((name && (!n || strcmp(n, name))) ||
		    (id_hex && (!id || strcmp(id, id_hex))) ||
		    version <= newest)
			continue;
		best = kek;
		newest = version;
	}
	return best;
}

/*
 * A module that was unloaded and loaded again has forgotten the pins, and to a
 * name without one any KEK will do.  The file is the truth.
 */
static int reload_pins(void)
{
	struct pins pins;
	int err;

	if (pins_read(&pins, true))
		return -1;
	err = pins_load(&pins);
	pins_free(&pins);
	return err;
}

int kek_ensure(const char *name)
{
	json_t *keks;
	const char *state;
	int err, active;

	if (!geteuid() && reload_pins())
		return -1;
	keks = kernel_keks(&err);
	if (!keks && err != -EPERM) {
		say_error("kek %s: %s", name, kernel_error());
		return -1;
	}
	state = json_string_value(json_object_get(find_kek(keks, name, NULL),
						  "state"));
	active = state && !strcmp(state, "active");
	json_decref(keks);
	/* Without privilege the key type asks the daemon on our behalf. */
	if (active || err == -EPERM)
		return 0;
	return daemon_kek_unseal(name, 0);
}
