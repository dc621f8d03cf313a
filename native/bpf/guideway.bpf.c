// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The two ends that the kernel does for us: from the wire to the socket of the right worker.
 *
 *   packet ─▶ classify ──not ours──▶ XDP_PASS, the host's network stack (SSH, ARP, everything else)
 *                │ flow key
 *                ▼
 *             shard = key & 255 ─▶ owners[shard] = worker
 *                │
 *                ▼
 *             sockets[interfaces[ifindex] + rx_queue × MAX_WORKERS + worker] ──none──▶ XDP_PASS
 *
 * One object serves all interfaces. The controller writes every map; the programs only read.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "layout.h"
#include "classify.h"

/* Sizes of maps marked so are set when the object is loaded. */
#define AT_LOAD 1

/** AF_XDP sockets, by interface base + queue × MAX_WORKERS + worker. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, AT_LOAD);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct interface {
	/** First index into `sockets`. */
	__u32 base;
	/** Its own address: frames for others, which a segment may flood, are not ours. */
	__u8 mac[ETH_ALEN];
	/** Sockets of queues from here on are another interface's. */
	__u16 queues;
};

/** By ifindex. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, AT_LOAD);
	__type(key, __u32);
	__type(value, struct interface);
} interfaces SEC(".maps");

struct shard_owners {
	__u8 worker[SHARDS];
};

/** Worker of each shard: one entry. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shard_owners);
} owners SEC(".maps");

/** Whether a packet of at least an Ethernet header is addressed to a MAC address. */
static __always_inline int is_for(const struct xdp_md *ctx, const __u8 *mac)
{
	const __u16 *destination = (void *)(long)ctx->data, *own = (const void *)mac;

	if ((void *)(destination + 3) > (void *)(long)ctx->data_end)
		return 0;
	return destination[0] == own[0] && destination[1] == own[1] && destination[2] == own[2];
}

/**
 * Steers a packet for a VIP to the worker that owns its flow, and passes everything else.
 * A packet that finds no socket is passed too.
 */
SEC("xdp")
int steer(struct xdp_md *ctx)
{
	__u32 zero = 0, ifindex = ctx->ingress_ifindex;
	__u64 key;

	if (!classify(ctx, &key))
		return XDP_PASS;
	struct shard_owners *owner = bpf_map_lookup_elem(&owners, &zero);
	struct interface *interface = bpf_map_lookup_elem(&interfaces, &ifindex);
	if (!owner || !interface || ctx->rx_queue_index >= interface->queues || !is_for(ctx, interface->mac))
		return XDP_PASS;
	__u32 worker = owner->worker[key & (SHARDS - 1)];
	return bpf_redirect_map(&sockets, interface->base + ctx->rx_queue_index * MAX_WORKERS + worker, XDP_PASS);
}

/**
 * What `steer` thinks of a packet, for tests by BPF_PROG_TEST_RUN: 0x100 | shard when it is for a VIP, else 0.
 * Never attached.
 */
SEC("xdp")
int shard(struct xdp_md *ctx)
{
	__u64 key;

	return classify(ctx, &key) ? 0x100 | (key & (SHARDS - 1)) : 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
