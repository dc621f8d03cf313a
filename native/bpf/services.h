/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which service has an address, protocol and port? (docs/datapath.md, section 1.) First the services of this very address
 * and port; then, from the longest prefix that contains the address to the shortest, those of more than one.
 *
 *   services ──no──▶ wildcards ──by id──▶ ports ──no──▶ wildcards, a shorter prefix ──▶ ...
 *
 * The two tries hold what assembly/wildcards.ts finds by other means; a test compares the two.
 */
#pragma once
#include <linux/in.h>
#include <stdbool.h>
#include <stddef.h>

/* A trie's key begins with the number of its bits that count; these are the bits in front of an address and of a port. */
#define FAMILY_BITS 8
#define LIST_BITS 48
#define PORT_BITS 16
/** Prefixes that can contain one address: of every length. */
#define MAX_NESTED 129

/**
 * First 20 bytes of a SERVICE record. An address service has the protocol ICMP or ICMPv6 and port 0. With SERVICE_RETURN in
 * the family it is where a backend answers from, with SERVICE_SENDER its address, with SERVICE_OWN an address of this machine.
 */
struct service_key {
	__u32 address[4];
	__be16 port;
	__u8 protocol;
	__u8 family;
};
_Static_assert(offsetof(struct service_key, address) == SERVICE_ADDRESS, "SERVICE_ADDRESS");
_Static_assert(offsetof(struct service_key, port) == SERVICE_PORT, "SERVICE_PORT");
_Static_assert(offsetof(struct service_key, protocol) == SERVICE_PROTOCOL, "SERVICE_PROTOCOL");
_Static_assert(offsetof(struct service_key, family) == SERVICE_FAMILY, "SERVICE_FAMILY");
_Static_assert(sizeof(struct service_key) == SERVICE_NUMBER, "SERVICE_NUMBER");

/**
 * Number of each service of one address and port, from 1; of a return, that of the service that it answers for; of an own address,
 * the first port at which answers are the balancer's all the same, and in the high half, how many.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set when the object is loaded */
	__type(key, struct service_key);
	__type(value, __u32);
} services SEC(".maps");

struct prefix_key {
	__u32 bits;
	__u8 family;
	__u8 address[16];
	__u8 zero[3];
};

/** What a prefix has. */
struct wildcard {
	/** Of its lists of ports. */
	__u32 id;
	/** Of its own key. */
	__u32 bits;
	/** Numbers of its services; 0 for none. */
	__u16 tcp;
	__u16 udp;
	__u16 address;
	__u16 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1); /* set when the object is loaded */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, struct wildcard);
} wildcards SEC(".maps");

struct port_key {
	__u32 bits;
	__u32 id;
	__u8 protocol;
	__u8 zero;
	__be16 port;
};

/** Blocks of ports that belong to a prefix. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 22); /* memory is taken for those that there are */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct port_key);
	__type(value, __u32);
} ports SEC(".maps");

/** A wildcard's number for a key, by the list of its ports if the protocol has any; 0 for none. */
static __always_inline __u32 number_of(const struct wildcard *wildcard, const struct service_key *service)
{
	struct port_key key = {
		.bits = LIST_BITS + PORT_BITS,
		.id = wildcard->id,
		.protocol = service->protocol,
		.port = service->port,
	};
	__u32 number;

	if (service->protocol != IPPROTO_TCP && service->protocol != IPPROTO_UDP)
		return wildcard->address;
	number = service->protocol == IPPROTO_TCP ? wildcard->tcp : wildcard->udp;
	return number && bpf_map_lookup_elem(&ports, &key) ? number : 0;
}

/** Number of the service that has the key, 0 for none; `*wide` when it has more than one address or port. */
static __always_inline __u32 find_service(const struct service_key *service, bool *wide)
{
	struct prefix_key key = {.family = service->family};
	__u32 *number = bpf_map_lookup_elem(&services, service);

	*wide = false;
	if (number)
		return *number;
	*wide = service->protocol == IPPROTO_TCP || service->protocol == IPPROTO_UDP;
	key.bits = FAMILY_BITS + (service->family == 4 ? 32 : 128);
	__builtin_memcpy(key.address, service->address, sizeof(key.address));
	for (int i = 0; i < MAX_NESTED; i++) {
		struct wildcard *found = bpf_map_lookup_elem(&wildcards, &key);

		if (!found)
			return 0;
		__u32 one = number_of(found, service);
		if (one)
			return one;
		if (found->bits <= FAMILY_BITS)
			return 0;
		key.bits = found->bits - 1;
	}
	return 0;
}
