// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests to the daemon: a task needs a KEK that is not held
 *
 * The task waits until the KEK is unsealed, the daemon says that it cannot be,
 * or the deadline passes, whatever the daemon does.  A daemon that dies in
 * between loses nothing: the one that attaches next is asked again.
 */

#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/suspend.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>

#include "trace.h"
#include "vr.h"

#define VR_REQUESTS_MAX		1024
/* Of all users but root. */
#define VR_REQUESTS_OTHERS	512
/* Of one user other than root, so that he cannot take all of them. */
#define VR_REQUESTS_PER_USER	32

static unsigned int upcall_timeout_ms = VR_UNSEAL_TIMEOUT_MS;
module_param(upcall_timeout_ms, uint, 0644);
MODULE_PARM_DESC(upcall_timeout_ms,
		 "how long a task waits for the daemon and its vaults (25000)");

/*
 * Lives on its waiter's stack.  The waiter puts it on vr_requests and takes it
 * off; vr_requests_lock protects all of it in between.
 */
struct vr_request {
	struct list_head list;
	struct completion done;
	unsigned long deadline;		/* jiffies */
	struct vr_upcall_info info;
	const struct cred *cred;	/* the waiter's */
	kuid_t charged;			/* see charged_user() */
	struct vr_kek *kek;		/* with a reference, once it is there */
	int error;
};

static DEFINE_MUTEX(vr_requests_lock);
static LIST_HEAD(vr_requests);
static unsigned int vr_requests_held;
static u64 vr_request_last_id;
static u32 vr_daemon_port;		/* 0: no daemon is attached */
static bool vr_asleep;			/* vr_requests_lock */

u32 vr_upcall_daemon(void)
{
	return READ_ONCE(vr_daemon_port);
}

static int request_send(struct vr_request *req, u32 portid)
{
	unsigned long now = jiffies;

	if (time_after_eq(now, req->deadline))
		return 0;	/* its waiter is about to give up */
	req->info.deadline_ms = jiffies_to_msecs(req->deadline - now);
	return vr_netlink_send_request(portid, &req->info);
}

static void request_complete(struct vr_request *req, struct vr_kek *kek,
			     int error)
{
	lockdep_assert_held(&vr_requests_lock);
	if (completion_done(&req->done))
		return;
	if (kek) {
		refcount_inc(&kek->refs);
		req->kek = kek;
	}
	req->error = error;
	complete_all(&req->done);
}

/*
 * Make that socket the daemon's and send it what waits.  -EBUSY while there is
 * another one.
 */
int vr_upcall_attach(u32 portid)
{
	struct vr_request *req;
	u32 other;

	mutex_lock(&vr_requests_lock);
	other = cmpxchg(&vr_daemon_port, 0, portid);
	if (!other)
		list_for_each_entry(req, &vr_requests, list)
			if (request_send(req, portid))
				request_complete(req, NULL, -EAGAIN);
	mutex_unlock(&vr_requests_lock);
	return !other || other == portid ? 0 : -EBUSY;
}

static int vr_upcall_netlink_event(struct notifier_block *nb,
				   unsigned long event, void *data)
{
	const struct netlink_notify *notify = data;

	if (event == NETLINK_URELEASE && notify->protocol == NETLINK_GENERIC &&
	    net_eq(notify->net, &init_net))
		cmpxchg(&vr_daemon_port, notify->portid, 0);
	return NOTIFY_DONE;
}

static struct notifier_block vr_upcall_notifier = {
	.notifier_call = vr_upcall_netlink_event,
};

/* A KEK is held now: whoever waits for it has it. */
void vr_upcall_unsealed(struct vr_kek *kek)
{
	struct vr_request *req;

	mutex_lock(&vr_requests_lock);
	list_for_each_entry(req, &vr_requests, list)
		if (req->info.name ? !strcmp(req->info.name, kek->attrs.name) :
		    !memcmp(req->info.id, kek->id, sizeof(kek->id)))
			request_complete(req, kek, 0);
	mutex_unlock(&vr_requests_lock);
}

/* The errors that a task may see; whatever else the daemon says is ENOKEY. */
static int upcall_error(int error)
{
	switch (error) {
	case -EAGAIN:
	case -EACCES:
	case -EKEYREJECTED:
	case -EKEYEXPIRED:
	case -EKEYREVOKED:
	case -ENOMEM:
		return error;
	default:
		return -ENOKEY;
	}
}

/* End a request with a negative error; false if it does not wait any more. */
bool vr_upcall_fail(u64 request, int error)
{
	struct vr_request *req;
	bool found = false;

	mutex_lock(&vr_requests_lock);
	list_for_each_entry(req, &vr_requests, list) {
		if (req->info.request != request)
			continue;
		found = !completion_done(&req->done);
		request_complete(req, NULL, upcall_error(error));
	}
	mutex_unlock(&vr_requests_lock);
	return found;
}

/*
 * May the task behind this request have a KEK of these attributes unsealed?
 * -EACCES if not; -ENOENT: it waits no more.
 */
int vr_upcall_check(u64 request, const struct vr_attrs *attrs)
{
	struct vr_request *req;
	int err = -ENOENT;

	mutex_lock(&vr_requests_lock);
	list_for_each_entry(req, &vr_requests, list)
		if (req->info.request == request && !completion_done(&req->done))
			err = vr_attrs_list(attrs, req->cred) ? 0 : -EACCES;
	mutex_unlock(&vr_requests_lock);
	return err;
}

/*
 * Who has to answer for a task: in a user namespace, where he may have many
 * uids, the user who made the outermost one, unless root did.
 */
static kuid_t charged_user(const struct cred *cred)
{
	const struct user_namespace *ns = cred->user_ns;

	if (ns == &init_user_ns)
		return cred->fsuid;
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	return uid_eq(ns->owner, GLOBAL_ROOT_UID) ? cred->fsuid : ns->owner;
}

static bool requests_full(kuid_t user)
{
	unsigned int of_user = 0, of_others = 0;
	struct vr_request *req;

	lockdep_assert_held(&vr_requests_lock);
	if (uid_eq(user, GLOBAL_ROOT_UID))
		return vr_requests_held >= VR_REQUESTS_MAX;
	list_for_each_entry(req, &vr_requests, list) {
		of_user += uid_eq(req->charged, user);
		of_others += !uid_eq(req->charged, GLOBAL_ROOT_UID);
	}
	return of_user >= VR_REQUESTS_PER_USER ||
	       of_others >= VR_REQUESTS_OTHERS;
}

/* Returns 1 if there is nothing to wait for, with req->kek. */
static int request_enter(struct vr_request *req)
{
	u32 portid;
	int err = -EAGAIN;

	mutex_lock(&vr_requests_lock);
	portid = vr_upcall_daemon();
	/* It may have come since the caller looked: nobody will be told again. */
	req->kek = vr_kek_get_listed(req->info.name, req->info.id, req->cred);
	if (req->kek) {
		err = 1;
	} else if (!portid) {
		err = -ENOKEY;
	} else if (!vr_asleep && !requests_full(req->charged)) {
		req->info.request = ++vr_request_last_id;
		list_add_tail(&req->list, &vr_requests);
		vr_requests_held++;
		err = request_send(req, portid);
		/* One that dies at this moment has a successor to ask. */
		if (err == -ECONNREFUSED)
			err = 0;
		if (err) {
			list_del(&req->list);
			vr_requests_held--;
			err = -EAGAIN;
		}
	}
	mutex_unlock(&vr_requests_lock);
	return err;
}

/* Of version 2, as BPF numbers them; 0 in a kernel without cgroups. */
static u64 current_cgroup(void)
{
	u64 id = 0;

#ifdef CONFIG_CGROUPS
	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(current));
	rcu_read_unlock();
#endif
	return id;
}

/* What came of a request that was taken off the list; req->kek if it is 0. */
static int request_result(const struct vr_request *req, long left)
{
	if (req->kek)
		return 0;
	if (req->error)
		return req->error;
	return left < 0 ? -EINTR : -EAGAIN;
}

/*
 * Have a KEK unsealed, by name or by @id, unless it is held and the caller is
 * listed for it.  Returns it with a reference; may sleep up to the deadline,
 * killably.  (Whoever asks for a key that another task is having made waits in
 * request_key(), not here, and as long.)
 *
 * -ENOKEY: no daemon, or it has no such KEK; -EAGAIN: a vault is away or the
 * deadline passed; and what the unseal itself can fail with.
 */
struct vr_kek *vr_upcall_request(const char *name, const u8 *id)
{
	char comm[TASK_COMM_LEN];
	unsigned long timeout = msecs_to_jiffies(READ_ONCE(upcall_timeout_ms));
	struct vr_request req = {
		.deadline = jiffies + timeout,
		.cred = current_cred(),
		.info = {
			.name = name,
			.id = name ? NULL : id,
			.uid = from_kuid(&init_user_ns, current_fsuid()),
			.gid = from_kgid(&init_user_ns, current_fsgid()),
			.pid = task_tgid_nr(current),
			.comm = comm,
			.cgroup = current_cgroup(),
		},
	};
	u64 start = ktime_get_ns();
	long left;
	int err;

	req.charged = charged_user(req.cred);
	get_task_comm(comm, current);
	init_completion(&req.done);
	/* Some ways into a key type hold no reference for us. */
	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENOKEY);
	err = request_enter(&req);
	if (err) {
		module_put(THIS_MODULE);
		return err > 0 ? req.kek : ERR_PTR(err);
	}
	left = wait_for_completion_killable_timeout(&req.done, timeout);

	mutex_lock(&vr_requests_lock);
	list_del(&req.list);
	vr_requests_held--;
	mutex_unlock(&vr_requests_lock);
	module_put(THIS_MODULE);

	err = request_result(&req, left);
	trace_vr_upcall(&req.info, err, ktime_get_ns() - start);
	return err ? ERR_PTR(err) : req.kek;
}

/*
 * A task that waits here cannot be frozen, and a daemon that is frozen does not
 * answer: for the machine to sleep nobody may wait.  To hibernate it would write
 * all memory to a disk, and the keys with it.
 */
static int vr_upcall_pm_event(struct notifier_block *nb, unsigned long event,
			      void *data)
{
	bool sleeps = event == PM_SUSPEND_PREPARE ||
		      event == PM_HIBERNATION_PREPARE ||
		      event == PM_RESTORE_PREPARE;
	struct vr_request *req;

	if (event == PM_HIBERNATION_PREPARE) {
		if (!vr_keks_shut_if_none()) {
			pr_warn("no hibernation: it would write the keys of %u KEKs to a disk; revoke them first\n",
				vr_kek_count());
			return notifier_from_errno(-EPERM);
		}
		/* With its answer in the image, a blinding would be a KEK. */
		vr_unseal_drop();
		vr_transport_forget();
	} else if (event == PM_POST_HIBERNATION) {
		vr_transport_allow();
		vr_keks_open();
	}
	mutex_lock(&vr_requests_lock);
	vr_asleep = sleeps;
	if (sleeps)
		list_for_each_entry(req, &vr_requests, list)
			request_complete(req, NULL, -EAGAIN);
	mutex_unlock(&vr_requests_lock);
	return NOTIFY_DONE;
}

static struct notifier_block vr_upcall_pm_notifier = {
	.notifier_call = vr_upcall_pm_event,
};

int vr_upcall_init(void)
{
	int err = register_pm_notifier(&vr_upcall_pm_notifier);

	if (err)
		return err;
	err = netlink_register_notifier(&vr_upcall_notifier);
	if (err)
		unregister_pm_notifier(&vr_upcall_pm_notifier);
	return err;
}

void vr_upcall_exit(void)
{
	unregister_pm_notifier(&vr_upcall_pm_notifier);
	netlink_unregister_notifier(&vr_upcall_notifier);
}
