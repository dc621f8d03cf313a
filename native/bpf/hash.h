/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The flow key of docs/datapath.md, section 2. assembly/ computes the same; a test compares the two. */
#pragma once

#define MULTIPLIER 0x0e9846af9b1a615dULL

struct secret_words {
	__u64 word[4];
};

/** The machine's secret: one entry. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct secret_words);
} secret SEC(".maps");

/** A bijection of 64 bits. */
static __always_inline __u64 mix(const struct secret_words *secret, __u64 key)
{
	key ^= secret->word[0];
	key ^= key >> 32;
	key *= MULTIPLIER;
	key ^= key >> 32;
	key *= MULTIPLIER;
	key ^= key >> 28;
	return key;
}

static __always_inline __u64 fold(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * MULTIPLIER;
	return hash ^ hash >> 32;
}

/** Source port and service number, as both key functions take them. */
static __always_inline __u64 port_and_service(__u16 port, __u32 service)
{
	return (__u64)port << 32 | (__u64)service << 48;
}

/** What the number of a wildcard does not say: to which address and port a packet goes. */
static __always_inline __u64 fold_destination(const struct secret_words *secret, const __u32 address[4],
					      __be16 port)
{
	__u64 words[2];

	__builtin_memcpy(words, address, sizeof(words));
	return fold(fold(fold(secret->word[2], words[0]), words[1]), port);
}

static __always_inline __u64 key_ipv4(const struct secret_words *secret, __u64 source, __u16 port,
				      __u32 service, __u64 destination)
{
	return mix(secret, destination ^ (source | port_and_service(port, service)));
}

static __always_inline __u64 key_ipv6(const struct secret_words *secret, const __u64 source[2], __u16 port,
				      __u32 service, __u64 destination)
{
	__u64 folded = fold(fold(secret->word[1], source[0]), source[1]);

	return mix(secret, destination ^ folded ^ port_and_service(port, service));
}
