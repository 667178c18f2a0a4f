// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sending netlink messages: replies and, of the module's own accord, requests to
 * the daemon and events
 *
 * These are GFP_NOIO, as a task that asks may do so for a suspended disk.
 */

#include <linux/cred.h>
#include <linux/err.h>
#include <linux/sched.h>
#include <net/genetlink.h>

#include "generated/netlink.h"
#include "vr.h"

/* KEKs end, with an event, until the module is gone: later than the family. */
static DEFINE_MUTEX(vr_events_lock);
static bool vr_events_on;		/* vr_events_lock */

/* To be filled in and sent by vr_reply_send(). */
struct sk_buff *vr_reply_new(struct genl_info *info, u8 cmd, size_t size,
			     void **head)
{
	struct sk_buff *msg = genlmsg_new(size, GFP_KERNEL);

	if (!msg)
		return NULL;
	*head = genlmsg_put_reply(msg, info, &vr_genl_family, 0, cmd);
	if (!*head) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

/* @err: of filling @msg in.  Takes over @msg. */
int vr_reply_send(struct sk_buff *msg, void *head, struct genl_info *info,
		  int err)
{
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, head);
	return genlmsg_reply(msg, info);
}

/* Never blocks: -EAGAIN if the daemon does not read. */
int vr_netlink_send_request(u32 portid, const struct vr_upcall_info *info)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);
	void *head;
	int err;

	if (!msg)
		return -ENOMEM;
	head = genlmsg_put(msg, 0, 0, &vr_genl_family, 0, VAULTRING_CMD_KEK_REQUEST);
	err = !head ? -EMSGSIZE :
	      nla_put_u64_64bit(msg, VAULTRING_A_REQUEST, info->request,
				VAULTRING_A_PAD) ?:
	      (info->name ?
	       nla_put_string(msg, VAULTRING_A_NAME, info->name) :
	       nla_put(msg, VAULTRING_A_ID, VAULTRING_ID_SIZE, info->id)) ?:
	      nla_put_u32(msg, VAULTRING_A_UID_ASKING, info->uid) ?:
	      nla_put_u32(msg, VAULTRING_A_GID_ASKING, info->gid) ?:
	      nla_put_u32(msg, VAULTRING_A_PID, info->pid) ?:
	      nla_put_string(msg, VAULTRING_A_COMM, info->comm) ?:
	      nla_put_u64_64bit(msg, VAULTRING_A_CGROUP, info->cgroup,
				VAULTRING_A_PAD) ?:
	      nla_put_u32(msg, VAULTRING_A_DEADLINE_MS, info->deadline_ms);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, head);
	return genlmsg_unicast(&init_net, msg, portid);
}

/* NULL if nobody listens, or for want of memory. */
static struct sk_buff *event_new(u8 cmd, void **head)
{
	struct sk_buff *msg = NULL;

	mutex_lock(&vr_events_lock);
	if (vr_events_on && genl_has_listeners(&vr_genl_family, &init_net,
					       VAULTRING_NLGRP_EVENTS))
		msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOIO);
	mutex_unlock(&vr_events_lock);
	if (!msg)
		return NULL;
	*head = genlmsg_put(msg, 0, 0, &vr_genl_family, 0, cmd);
	if (!*head) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static void event_send(struct sk_buff *msg, void *head, int err)
{
	if (err) {
		nlmsg_free(msg);
		return;
	}
	genlmsg_end(msg, head);
	mutex_lock(&vr_events_lock);
	if (vr_events_on)
		genlmsg_multicast(&vr_genl_family, msg, 0, VAULTRING_NLGRP_EVENTS,
				  GFP_NOIO);
	else
		nlmsg_free(msg);
	mutex_unlock(&vr_events_lock);
}

static int put_attrs(struct sk_buff *msg, const struct vr_attrs *attrs)
{
	return nla_put_string(msg, VAULTRING_A_NAME, attrs->name) ?:
	       nla_put_u32(msg, VAULTRING_A_VERSION, attrs->version);
}

/* Which KEK a message is about. */
int vr_netlink_put_id(struct sk_buff *msg, const struct vr_kek *kek)
{
	return put_attrs(msg, &kek->attrs) ?:
	       nla_put(msg, VAULTRING_A_ID, sizeof(kek->id), kek->id);
}

void vr_netlink_kek_event(const struct vr_kek *kek,
			  enum vaultring_kek_state state)
{
	struct sk_buff *msg;
	void *head;

	msg = event_new(VAULTRING_CMD_KEK_EVENT, &head);
	if (msg)
		event_send(msg, head, vr_netlink_put_id(msg, kek) ?:
			   nla_put_u32(msg, VAULTRING_A_STATE, state));
}

void vr_netlink_refused_event(const struct vr_attrs *attrs, int error)
{
	struct sk_buff *msg;
	void *head;

	msg = event_new(VAULTRING_CMD_REFUSED_EVENT, &head);
	if (msg)
		event_send(msg, head, (attrs ? put_attrs(msg, attrs) : 0) ?:
			   nla_put_u32(msg, VAULTRING_A_ERROR, error));
}

/* Who is asking, in his own context. */
static int put_asking(struct sk_buff *msg)
{
	char comm[TASK_COMM_LEN];

	get_task_comm(comm, current);
	return nla_put_u32(msg, VAULTRING_A_UID_ASKING,
			   from_kuid(&init_user_ns, current_fsuid())) ?:
	       nla_put_u32(msg, VAULTRING_A_PID, task_tgid_nr(current)) ?:
	       nla_put_string(msg, VAULTRING_A_COMM, comm);
}

/* The calling task was refused a KEK, by name or by @id. */
void vr_netlink_request_event(const char *name, const u8 *id, int error)
{
	struct sk_buff *msg;
	void *head;

	msg = event_new(VAULTRING_CMD_REFUSED_EVENT, &head);
	if (msg)
		event_send(msg, head, (name ?
			   nla_put_string(msg, VAULTRING_A_NAME, name) :
			   nla_put(msg, VAULTRING_A_ID, VAULTRING_ID_SIZE, id)) ?:
			   put_asking(msg) ?:
			   nla_put_u32(msg, VAULTRING_A_ERROR, error));
}

void vr_netlink_keyed_event(const struct vaultring_blob *blob,
			    const struct vr_kek *kek, int error)
{
	struct sk_buff *msg;
	void *head;
	int err;

	msg = event_new(VAULTRING_CMD_KEYED_EVENT, &head);
	if (!msg)
		return;
	err = kek ? put_attrs(msg, &kek->attrs) : 0;
	event_send(msg, head, err ?:
		   nla_put(msg, VAULTRING_A_ID, VAULTRING_ID_SIZE, blob->kek_id) ?:
		   nla_put_u32(msg, VAULTRING_A_USE, blob->use) ?:
		   put_asking(msg) ?:
		   nla_put_u32(msg, VAULTRING_A_ERROR, error));
}

void vr_events_switch(bool on)
{
	mutex_lock(&vr_events_lock);
	vr_events_on = on;
	mutex_unlock(&vr_events_lock);
}
