// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dates and leases: until when a KEK may be used
 *
 * A lease runs on boot time, which goes on while the machine sleeps and which
 * nobody can set; not-before and not-after are wall-clock time.  Both ends have
 * a timer on their own clock, so that a step of the wall clock is noticed when
 * it is made.  A KEK that was seen to be over stays so, even if the clock is set
 * back: only an unseal begins anew.
 */

#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/timekeeping.h>

#include "vr.h"

/* An `ending` event comes this long before the end, or a quarter of the lease. */
#define VR_LEASE_WARN_S		30

static u64 real_seconds(void)
{
	return div_u64(ktime_get_real_ns(), NSEC_PER_SEC);
}

/* That term's time is up; whoever comes late must not undo a later one. */
static void lease_over(struct vr_kek *kek, u32 term)
{
	u32 over = READ_ONCE(kek->over);

	while ((s32)(term - over) > 0 && !try_cmpxchg(&kek->over, &over, term))
		;
}

/* Seconds until the KEK ends by itself; 0 if it is over, U64_MAX: never. */
u64 vr_lease_left(struct vr_kek *kek)
{
	/* Pairs with the release in vr_lease_start(). */
	u32 term = smp_load_acquire(&kek->term);
	ktime_t expires = READ_ONCE(kek->expires);
	u64 not_after = kek->attrs.not_after;
	u64 left = U64_MAX;
	u64 now;

	if (READ_ONCE(kek->over) == term)
		return 0;
	if (expires) {
		now = ktime_get_boottime_ns();
		left = expires > now ?
		       DIV_ROUND_UP_ULL(expires - now, NSEC_PER_SEC) : 0;
	}
	if (not_after) {
		now = real_seconds();
		left = min(left, not_after > now ? not_after - now : 0);
	}
	if (!left)
		lease_over(kek, term);
	return left;
}

/* Has the KEK's first day not come yet? */
static bool lease_early(const struct vr_kek *kek)
{
	return kek->attrs.not_before && kek->attrs.not_before > real_seconds();
}

/* 0 while nothing ended the KEK for good, otherwise what did. */
int vr_kek_gone(struct vr_kek *kek)
{
	/* Its end is seen now or next time; what is wiped has waited for users. */
	if (likely(!data_race(percpu_ref_is_dying(&kek->users))))
		return 0;
	return READ_ONCE(kek->state) == VAULTRING_KEK_STATE_EXPIRED ?
	       -EKEYEXPIRED : -EKEYREVOKED;
}

/* Have the end attended to.  In any context. */
static void lease_look(struct vr_kek *kek)
{
	if (refcount_inc_not_zero(&kek->refs) &&
	    !queue_work(vr_wq, &kek->lease_work))
		vr_kek_put(kek);
}

/* May something new be opened under the KEK now?  Does not sleep. */
int vr_kek_check(struct vr_kek *kek)
{
	int err = vr_kek_gone(kek);

	if (err)
		return err;
	/* vr_kek_end() has begun, and its kill of @users is about to be seen. */
	if (READ_ONCE(kek->state) == VAULTRING_KEK_STATE_REVOKED)
		return -EKEYREVOKED;
	if (READ_ONCE(kek->state) != VAULTRING_KEK_STATE_ACTIVE)
		return -EKEYEXPIRED;
	if (!vr_lease_left(kek)) {
		/* A clock that is set back may keep the timer from firing. */
		lease_look(kek);
		return -EKEYEXPIRED;
	}
	return lease_early(kek) ? -EKEYEXPIRED : 0;
}

/* Hard interrupt.  The timers are stopped before the registry lets go. */
static enum hrtimer_restart lease_fired(struct vr_kek *kek)
{
	vr_lease_left(kek);
	lease_look(kek);
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart vr_lease_timer(struct hrtimer *timer)
{
	return lease_fired(container_of(timer, struct vr_kek, lease_timer));
}

static enum hrtimer_restart vr_date_timer(struct hrtimer *timer)
{
	return lease_fired(container_of(timer, struct vr_kek, date_timer));
}

/*
 * Look again in time for the warning or, after it, for the end.  Never after
 * vr_kek_end() has begun, which takes @lock to do so and then stops the timers.
 */
static void lease_arm(struct vr_kek *kek)
{
	u64 warn = kek->warned ? 0 : kek->warn;
	u64 not_after = kek->attrs.not_after;

	lockdep_assert_held(&kek->lock);
	if (vr_kek_gone(kek))
		return;
	if (kek->expires)
		hrtimer_start(&kek->lease_timer,
			      ktime_sub_ns(kek->expires, warn * NSEC_PER_SEC),
			      HRTIMER_MODE_ABS);
	/* Dates that ktime_t cannot hold, after the year 2262, do not come. */
	if (not_after && not_after < KTIME_SEC_MAX)
		hrtimer_start(&kek->date_timer,
			      ktime_set(not_after - min(warn, not_after), 0),
			      HRTIMER_MODE_ABS);
}

/* In the queue with a reference. */
static void vr_lease_work(struct work_struct *work)
{
	struct vr_kek *kek = container_of(work, struct vr_kek, lease_work);
	bool over = false, ending = false, kill;
	u64 left;

	/* Under the lock, so that a renewal comes either before or too late. */
	mutex_lock(&kek->lock);
	left = vr_lease_left(kek);
	if (kek->state == VAULTRING_KEK_STATE_ACTIVE) {
		over = !left;
		ending = left && left <= kek->warn && !kek->warned;
	}
	/* Nothing may be opened now, and an unseal brings the key along. */
	if (over) {
		WRITE_ONCE(kek->state, VAULTRING_KEK_STATE_EXPIRED);
		memzero_explicit(kek->key, sizeof(kek->key));
	}
	if (ending)
		kek->warned = true;
	if (kek->state == VAULTRING_KEK_STATE_ACTIVE)
		lease_arm(kek);
	/* Under the lock, too: events come in the order of what they tell. */
	kill = kek->attrs.lease_end == VAULTRING_LEASE_END_KILL;
	if (ending)
		vr_netlink_kek_event(kek, VAULTRING_KEK_STATE_ENDING);
	if (over && !kill)
		vr_report_end(kek, VAULTRING_KEK_STATE_EXPIRED);
	mutex_unlock(&kek->lock);

	if (over && kill)
		vr_kek_end(kek, VAULTRING_KEK_STATE_EXPIRED);
	vr_kek_put(kek);
}

/* No timer runs when this returns, nor will one.  May sleep. */
void vr_lease_stop(struct vr_kek *kek)
{
	hrtimer_cancel(&kek->lease_timer);
	hrtimer_cancel(&kek->date_timer);
}

/* Begin the lease, or begin it anew; under @lock once the KEK is registered. */
void vr_lease_start(struct vr_kek *kek)
{
	ktime_t expires = 0;
	u64 left;

	/* One that fires at this moment must not end the new lease. */
	vr_lease_stop(kek);
	if (kek->attrs.lease)
		expires = ktime_add_ns(ktime_get_boottime(),
				       (u64)kek->attrs.lease * NSEC_PER_SEC);
	WRITE_ONCE(kek->expires, expires);
	/* What was over, or is found so by the old times, was another term. */
	smp_store_release(&kek->term, kek->term + 1);
	left = vr_lease_left(kek);
	kek->warn = left == U64_MAX ? 0 : min_t(u64, left / 4, VR_LEASE_WARN_S);
	kek->warned = !kek->warn;
	lease_arm(kek);
}

void vr_lease_init(struct vr_kek *kek)
{
	hrtimer_setup(&kek->lease_timer, vr_lease_timer, CLOCK_BOOTTIME,
		      HRTIMER_MODE_ABS);
	hrtimer_setup(&kek->date_timer, vr_date_timer, CLOCK_REALTIME,
		      HRTIMER_MODE_ABS);
	INIT_WORK(&kek->lease_work, vr_lease_work);
}
