// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's MPIs lack
 */

#include <linux/random.h>

#include "vr.h"

/*
 * The low @size bytes of a value, big-endian.  Its leading zeros show in
 * nothing but how many words it has.
 */
void vr_mpi_write(MPI value, u8 *out, size_t size)
{
	mpi_limb_t limb = 0;
	size_t i;

	for (i = 0; i < size; i++) {
		size_t at = i / sizeof(limb);

		if (i % sizeof(limb) == 0)
			limb = at < value->nlimbs ? value->d[at] : 0;
		out[size - 1 - i] = limb;
		limb >>= 8;
	}
}

/*
 * From 1 to 2^(8 * @size - 1) - 1: below any modulus of that many bytes whose top
 * bit is set.  The random number generator must have been waited for.
 */
MPI vr_mpi_random(size_t size)
{
	u8 bytes[VR_RSA_SIZE];
	MPI value;

	if (WARN_ON_ONCE(size > sizeof(bytes)))
		return NULL;
	do {
		get_random_bytes(bytes, size);
		bytes[0] &= 0x7f;
	} while (!memchr_inv(bytes, 0, size));
	value = mpi_read_raw_data(bytes, size);
	memzero_explicit(bytes, sizeof(bytes));
	return value;
}
