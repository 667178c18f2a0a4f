#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Root of a container speaks netlink: to the module he is whoever made the container.

# shellcheck disable=SC2086,SC2317,SC2329 # words; functions that ok runs
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/attack_lib.sh"

# In user, network, mount and process namespaces of his own.
contained()
{
	as_nobody unshare --user --map-root-user --net --mount --pid --fork "$@"
}

# The same network, as some containers have it.
half_contained()
{
	as_nobody unshare --user --map-root-user "$@"
}

must new_kek captive
must vaultring dek new --kek captive --use xts -o "$WORK/blob"
chmod 711 "$WORK"
chmod 644 "$WORK/blob"
ok "control: he is root there" half_contained sh -c "id -u | grep -x 0"
refused "he cannot revoke a KEK" "." contained vaultring kek revoke captive
refused "nor from the host's network" "." \
	half_contained vaultring kek revoke captive
refused "nor have pins set" "." half_contained vaultring vault pin --load
refused "nor have one unsealed" "denied|root|permitted" half_contained \
	keyctl request2 vault-kek captive "" @s
refused "nor use a blob" "denied|permitted" half_contained \
	sh -c 'keyctl padd vault-dek mine @s < '"$WORK/blob"
ok "the KEK is as it was" held captive
ok "as the kernel's own tests see it" cases netlink_test \
	an_unprivileged_user_is_refused_every_command \
	the_root_of_a_user_namespace_is_refused_every_command \
	the_family_is_absent_in_another_network_namespace \
	net_admin_alone_may_ask_but_not_set_pins
ok "nor is he root to a KEK that lists root" cases subjects_test \
	root_of_a_user_namespace_is_not_root_to_a_kek \
	a_list_means_the_initial_namespaces_users
ok "nor do more users of his make more of him" cases limits_test \
	uids_of_a_namespace_count_as_the_user_who_made_it
finish
