// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reports: who did what to which KEK, and what came of it, as a record of the
 * audit subsystem and as an event to those who listen
 *
 * Never a secret, and no wait that holds up others: a full audit backlog loses the record, which
 * the audit subsystem counts and says, but does not hold up a revoke or a disk.
 */

#include <linux/audit.h>
#include <linux/cred.h>
#include <linux/hash.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>

#include "vr.h"

/*
 * Users other than root can cause refusals at will: of those of one user, or of
 * some that share a place, so many are told in 5 seconds.
 */
#define VR_REFUSALS_BITS	6
#define VR_REFUSALS_TOLD	20
static struct ratelimit_state vr_refusals[1 << VR_REFUSALS_BITS];

static bool by_root(void)
{
	return uid_eq(current_fsuid(), GLOBAL_ROOT_UID);
}

static bool refusal_told(void)
{
	u32 uid = from_kuid(&init_user_ns, current_fsuid());

	return by_root() ||
	       __ratelimit(&vr_refusals[hash_32(uid, VR_REFUSALS_BITS)]);
}

static struct audit_buffer *record_start_gfp(const char *op, gfp_t gfp)
{
	struct audit_buffer *ab;

	ab = audit_log_start(NULL, gfp | __GFP_NOWARN, AUDIT_KERNEL);
	if (ab)
		audit_log_format(ab, "module=vaultring op=%s", op);
	return ab;
}

static struct audit_buffer *record_start(const char *op)
{
	return record_start_gfp(op, GFP_ATOMIC);
}

/* Of what any user can cause: he waits for the backlog himself. */
static struct audit_buffer *record_start_waiting(const char *op)
{
	return record_start_gfp(op, by_root() ? GFP_ATOMIC : GFP_NOIO);
}

/* A KEK's name has no character that would need escaping. */
static void record_attrs(struct audit_buffer *ab, const struct vr_attrs *attrs)
{
	audit_log_format(ab, " kek=\"%s\" version=%u", attrs ? attrs->name : "-",
			 attrs ? attrs->version : 0);
}

/* As audit tools read it: in quotes or, with characters that confuse them, hex. */
static void record_comm(struct audit_buffer *ab)
{
	char comm[TASK_COMM_LEN];
	size_t i, len;

	get_task_comm(comm, current);
	len = strlen(comm);
	for (i = 0; i < len; i++)
		if (comm[i] == '"' || comm[i] < 0x21 || comm[i] > 0x7e)
			break;
	if (i == len)
		audit_log_format(ab, " comm=\"%s\"", comm);
	else
		audit_log_format(ab, " comm=%*phN", (int)len, comm);
}

static void record_end(struct audit_buffer *ab, int result)
{
	audit_log_format(ab, " pid=%d uid=%u", task_tgid_nr(current),
			 from_kuid(&init_user_ns, current_uid()));
	record_comm(ab);
	audit_log_format(ab, " errno=%d res=%d", -result, !result);
	audit_log_end(ab);
}

/*
 * An unseal, reseal or creation, as @op says, or its refusal with a negative
 * errno; no @attrs: not an envelope.
 */
void vr_report_unseal(const char *op, const struct vr_attrs *attrs, int result)
{
	struct audit_buffer *ab = record_start(op);

	if (ab) {
		record_attrs(ab, attrs);
		record_end(ab, result);
	}
	if (result)
		vr_netlink_refused_event(attrs, -result);
}

/* The calling task was refused a KEK, which it asked for by name or by @id. */
void vr_report_request(const char *name, const u8 *id, int result)
{
	struct audit_buffer *ab;

	if (!refusal_told())
		return;
	ab = record_start_waiting("request");
	if (ab) {
		audit_log_format(ab, " kek=\"%s\"", name ?: "-");
		if (!name)
			audit_log_format(ab, " id=%*phN", VAULTRING_ID_SIZE, id);
		record_end(ab, result);
	}
	vr_netlink_request_event(name, id, -result);
}

/* A KEK's end: revoked or expired. */
void vr_report_end(const struct vr_kek *kek, enum vaultring_kek_state state)
{
	struct audit_buffer *ab;

	ab = record_start(state == VAULTRING_KEK_STATE_EXPIRED ? "expire" :
								"revoke");
	if (ab) {
		record_attrs(ab, &kek->attrs);
		record_end(ab, 0);
	}
	vr_netlink_kek_event(kek, state);
}

/* The transport key was saved under that KEK or loaded, or that was refused. */
void vr_report_transport(const char *op, const struct vr_kek *kek, int result)
{
	struct audit_buffer *ab = record_start(op);

	if (ab) {
		record_attrs(ab, kek ? &kek->attrs : NULL);
		record_end(ab, result);
	}
}

/*
 * A transform keyed with that blob, or refused; no @kek: none was to be had.
 *
 * Any user can cause one, as often as he likes: of his refusals only some are
 * told.
 */
void vr_report_keyed(const struct vaultring_blob *blob, const struct vr_kek *kek,
		     int result)
{
	struct audit_buffer *ab;

	if (result && !refusal_told())
		return;
	ab = record_start_waiting("setkey");
	if (ab) {
		record_attrs(ab, kek ? &kek->attrs : NULL);
		audit_log_format(ab, " id=%*phN use=%s dek=%*phN",
				 VAULTRING_ID_SIZE, blob->kek_id,
				 vr_use_name(blob->use), VAULTRING_ID_SIZE,
				 blob->dek_id);
		record_end(ab, result);
	}
	vr_netlink_keyed_event(blob, kek, -result);
}

int vr_audit_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vr_refusals); i++) {
		ratelimit_state_init(&vr_refusals[i], 5 * HZ, VR_REFUSALS_TOLD);
		/* How many it left out is not for any user to log. */
		ratelimit_set_flags(&vr_refusals[i], RATELIMIT_MSG_ON_RELEASE);
	}
	return 0;
}
