/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: what takes how long, in nanoseconds
 *
 *	echo 1 > /sys/kernel/tracing/events/vaultring/enable
 *
 * Nothing of a key is in them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vaultring

#if !defined(_VAULTRING_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VAULTRING_TRACE_H

#include <linux/tracepoint.h>

#include "vr.h"

/* A task waited for the daemon and its vaults. */
TRACE_EVENT(vr_upcall,
	    TP_PROTO(const struct vr_upcall_info *info, int result, u64 ns),
	    TP_ARGS(info, result, ns),
	    TP_STRUCT__entry(__array(char, name, VAULTRING_MAX_NAME + 1)
			     __array(u8, id, VAULTRING_ID_SIZE)
			     __field(u64, request)
			     __field(u32, uid)
			     __field(int, result)
			     __field(u64, ns)),
	    TP_fast_assign(const u8 no_id[VAULTRING_ID_SIZE] = {};

			   strscpy(__entry->name, info->name ?: "-", sizeof(__entry->name));
			   memcpy(__entry->id, info->id ?: no_id, VAULTRING_ID_SIZE);
			   __entry->request = info->request;
			   __entry->uid = info->uid;
			   __entry->result = result;
			   __entry->ns = ns;),
	    TP_printk("kek=%s id=%*phN request=%llu uid=%u result=%d ns=%llu",
		      __entry->name, VAULTRING_ID_SIZE, __entry->id, __entry->request,
		      __entry->uid, __entry->result, __entry->ns)
);

/* An unseal, from its start to the last answer. */
TRACE_EVENT(vr_unseal,
	    TP_PROTO(const struct vr_attrs *attrs, int result, u64 ns),
	    TP_ARGS(attrs, result, ns),
	    TP_STRUCT__entry(__array(char, name, VAULTRING_MAX_NAME + 1)
			     __field(u32, version)
			     __field(int, result)
			     __field(u64, ns)),
	    TP_fast_assign(strscpy(__entry->name, attrs->name, sizeof(__entry->name));
			   __entry->version = attrs->version;
			   __entry->result = result;
			   __entry->ns = ns;),
	    TP_printk("kek=%s version=%u result=%d ns=%llu", __entry->name,
		      __entry->version, __entry->result, __entry->ns)
);

/* A setkey with a blob, the wait for its KEK included. */
TRACE_EVENT(vr_setkey,
	    TP_PROTO(const struct vaultring_blob *blob, int result, u64 ns),
	    TP_ARGS(blob, result, ns),
	    TP_STRUCT__entry(__array(u8, id, VAULTRING_ID_SIZE)
			     __field(u8, use)
			     __field(int, result)
			     __field(u64, ns)),
	    TP_fast_assign(memcpy(__entry->id, blob->kek_id, VAULTRING_ID_SIZE);
			   __entry->use = blob->use;
			   __entry->result = result;
			   __entry->ns = ns;),
	    TP_printk("id=%*phN use=%u result=%d ns=%llu", VAULTRING_ID_SIZE,
		      __entry->id, __entry->use, __entry->result, __entry->ns)
);

/* A KEK's end: the wait for requests in flight, then wiping. */
TRACE_EVENT(vr_end,
	    TP_PROTO(const struct vr_kek *kek, unsigned int transforms, u64 drain_ns,
		     u64 wipe_ns),
	    TP_ARGS(kek, transforms, drain_ns, wipe_ns),
	    TP_STRUCT__entry(__array(char, name, VAULTRING_MAX_NAME + 1)
			     __field(u32, version)
			     __field(u32, state)
			     __field(unsigned int, transforms)
			     __field(u64, drain_ns)
			     __field(u64, wipe_ns)),
	    TP_fast_assign(strscpy(__entry->name, kek->attrs.name, sizeof(__entry->name));
			   __entry->version = kek->attrs.version;
			   __entry->state = kek->state;
			   __entry->transforms = transforms;
			   __entry->drain_ns = drain_ns;
			   __entry->wipe_ns = wipe_ns;),
	    TP_printk("kek=%s version=%u state=%u transforms=%u drain_ns=%llu wipe_ns=%llu",
		      __entry->name, __entry->version, __entry->state,
		      __entry->transforms, __entry->drain_ns, __entry->wipe_ns)
);

#endif /* _VAULTRING_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
