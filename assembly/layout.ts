// The arena: one shared WebAssembly.Memory, and the only declaration of what lies where in it.
//
// This file is read by four languages. It is TypeScript for the controller, AssemblyScript for the
// workers, and native/build.rs turns it into Rust and C. So it holds nothing but comments and
//
//     export const NAME: u32 = <integers, earlier names, + - * << |>;
//
// No division, no 64-bit values, no imports. A doc comment stands directly above its constant.
//
//   0          4096        (from here on the regions' places depend on the configuration; the header
//   ├─ unused ─┼─ header ─  holds their addresses)
//              │
//              ├─ interfaces   one line each                    writer: controller
//              ├─ pools        one line each, the table cells   writer: controller
//              ├─ backends     one line each, by backend id     writer: controller
//              ├─ probes       backend of each probing port     writer: controller
//              ├─ queues       FILL, COMPLETION and their lock  writer: see QUEUE_*
//              ├─ workers      control block, ports, batch      writer: see WORKER_*
//              ├─ free lists   one per worker                   writer: its worker
//              ├─ counters     one block per worker             writer: its worker
//              ├─ journals     one ring per worker, optional    writer: its worker
//              ├─ rings        the kernel's and our own         writer: the two ends of each
//              ├─ tables       the table heap                   writer: controller
//              ├─ rates        buckets of source prefixes       writer: any worker, a cell at a time
//              ├─ shards       one line each                    writer: each shard's owner
//              ├─ conntrack    256 shards of 64-byte lines      writer: each shard's owner
//              ├─ fragments    256 shards of a page each        writer: each shard's owner
//              └─ frames       packet buffers, the UMEM         writer: whoever holds the frame

/** Raised whenever a constant here changes meaning; a binary built from another layout refuses to run. */
export const LAYOUT_VERSION: u32 = 4;
/** "GWAY", read as a little-endian number. */
export const MAGIC: u32 = 0x59415747;

/** Bytes of a cache line: every record below is a multiple, so that no line has two writers. */
export const LINE: u32 = 64;
/** Bytes of a page of the operating system: rings and frames start on one. */
export const PAGE: u32 = 4096;

// ── Limits ───────────────────────────────────────────────────────────────────────────────────────

/** The flow space is cut into this many shards; each is owned by one worker. */
export const SHARDS: u32 = 256;
/** Most packets that one pass of the pipeline takes. */
export const BATCH: u32 = 64;
export const MAX_WORKERS: u32 = 32;
/** Ports of one worker: its sockets, hand-off rings and probes. */
export const MAX_PORTS: u32 = 64;
export const MAX_INTERFACES: u32 = 16;
/** (interface, queue) pairs with a FILL and a COMPLETION ring. */
export const MAX_QUEUES: u32 = 64;
/** Backend ids are 16 bits wide and 0 means none. */
export const MAX_BACKENDS: u32 = 65535;
/**
 * Places that answers of backends come from (SERVICE_RETURN): one for each backend, protocol and port of a `nat` VIP. There are not
 * more senders (SERVICE_SENDER).
 */
export const MAX_RETURNS: u32 = 65536;
/** Addresses of the machine's own (SERVICE_OWN). */
export const MAX_OWN: u32 = 1024;
/** Services are numbered in 16 bits of the flow key. */
export const MAX_SERVICES: u32 = 65535;
export const MAX_VIPS: u32 = 4096;
export const MAX_POOLS: u32 = 4096;
/** Extension headers of an IPv6 packet that are walked, and how far from its frame's start what follows may lie. */
export const MAX_EXTENSION_HEADERS: u32 = 8;
export const MAX_LAYER4_OFFSET: u32 = 255;
/** Bytes in front of a received packet, room for a tunnel's headers: the kernel's XDP_PACKET_HEADROOM. */
export const HEADROOM: u32 = 256;

// ── Header: one page, written by the controller ──────────────────────────────────────────────────

export const HEADER: u32 = PAGE;
export const HEADER_MAGIC: u32 = HEADER;
export const HEADER_VERSION: u32 = HEADER + 4;
export const HEADER_WORKER_COUNT: u32 = HEADER + 8;
export const HEADER_INTERFACES: u32 = HEADER + 12;
export const HEADER_BACKENDS: u32 = HEADER + 16;
export const HEADER_QUEUES: u32 = HEADER + 20;
export const HEADER_WORKERS: u32 = HEADER + 24;
export const HEADER_FREE_LISTS: u32 = HEADER + 28;
export const HEADER_COUNTERS: u32 = HEADER + 32;
/** 0 when no journal is kept. */
export const HEADER_JOURNALS: u32 = HEADER + 36;
export const HEADER_CONNTRACK: u32 = HEADER + 40;
export const HEADER_FRAMES: u32 = HEADER + 44;
export const HEADER_QUEUE_COUNT: u32 = HEADER + 48;
export const HEADER_FREE_LIST_BYTES: u32 = HEADER + 52;
export const HEADER_COUNTERS_BYTES: u32 = HEADER + 56;
/** Records that each journal holds: a power of two. */
export const HEADER_JOURNAL_RECORDS: u32 = HEADER + 60;
/** Lines of each conntrack shard: a power of two, at least 256 so that a match is exact (see hash.ts). */
export const HEADER_SHARD_LINES: u32 = HEADER + 64;
export const HEADER_FRAME_COUNT: u32 = HEADER + 68;
/** Bytes of a frame: 2048 or 4096. */
export const HEADER_FRAME_BYTES: u32 = HEADER + 72;
/** Packets that one pass takes at most, up to BATCH. */
export const HEADER_BATCH: u32 = HEADER + 76;
export const HEADER_PROBES: u32 = HEADER + 80;
/** Workers that run: 0 up to this one. Others have a block, and nothing to do. */
export const HEADER_RUNNING: u32 = HEADER + 84;
/** New flows a second that the connection table takes; 0 for any number. */
export const HEADER_NEW_FLOWS: u32 = HEADER + 108;
/** Address of the shards' records. */
export const HEADER_SHARD_RECORDS: u32 = HEADER + 112;
/** Offset of the VIPs' reasons in each worker's counters. */
export const HEADER_VIP_REASONS: u32 = HEADER + 116;
/** Address of the buckets of source prefixes. */
export const HEADER_RATES: u32 = HEADER + 120;
export const HEADER_FRAGMENTS: u32 = HEADER + 124;
/** Four 64-bit words keying the connection table; private to this machine. */
export const HEADER_SECRET: u32 = HEADER + 128;
/** One 64-bit word keying the lookup tables' flow hash; the same on every machine of the fleet. */
export const HEADER_SEED: u32 = HEADER + 160;
/** Outer source address of tunnels: IPv4 (4 bytes, network order) and IPv6 (16 bytes). */
export const HEADER_SOURCE_V4: u32 = HEADER + 168;
export const HEADER_SOURCE_V6: u32 = HEADER + 176;
/** Timeouts in milliseconds, four words indexed by the FLOW_* state. */
export const HEADER_TIMEOUTS: u32 = HEADER + 192;
/** Line of its own: the publication epoch, and the addresses of the published services block and routes block (0: none). */
export const HEADER_EPOCH: u32 = HEADER + 256;
export const HEADER_SERVICES: u32 = HEADER + 260;
export const HEADER_ROUTES: u32 = HEADER + 268;
/** Frames that each worker keeps on its free list for fragments that it makes: RESERVED_FRAMES, or 0 where none makes any. */
export const HEADER_RESERVE: u32 = HEADER + 264;
/** ICMP errors of the machine's own, a second in all; 0 for none. */
export const HEADER_ICMP_ERRORS: u32 = HEADER + 272;
/** Version of the shards' owners in force: even ones are in the first map of HEADER_SHARD_OWNERS, odd ones in the second. */
export const HEADER_OWNERS: u32 = HEADER + 276;
/** Line of its own: 1 asks every worker to drain and return. */
export const HEADER_STOP: u32 = HEADER + 320;
/** Clock in milliseconds as a 64-bit float when the controller dictates it (offline); 0 for real time. */
export const HEADER_CLOCK: u32 = HEADER + 328;
/** Two maps: the owner of each shard, one byte each (owners.ts). */
export const HEADER_SHARD_OWNERS: u32 = HEADER + 768;
/** Most fragments that wait, of all workers. */
export const HEADER_HELD_LIMIT: u32 = HEADER + 640;
/** Line of its own: fragments that wait, of all workers. Writer: whoever holds one or ends its wait. */
export const HEADER_HELD: u32 = HEADER + 704;

// ── Interfaces ───────────────────────────────────────────────────────────────────────────────────

export const INTERFACE_BYTES: u32 = LINE;
/** MAC address, six bytes in wire order. */
export const INTERFACE_MAC: u32 = 0;
/** Most bytes of an IP packet that the interface sends. */
export const INTERFACE_MTU: u32 = 8;

// ── Pools: the cells through which lookup tables are published ───────────────────────────────────

export const POOL_BYTES: u32 = LINE;
/** Address of the pool's lookup table in the table heap. Swapped with one atomic store. */
export const POOL_TABLE: u32 = 0;

// ── Lookup table: a block of the table heap, immutable once published ────────────────────────────

/** Number of slots; 0 when the pool has no usable backend. */
export const TABLE_SIZE: u32 = 0;
/** Backend ids, 16 bits per slot. */
export const TABLE_SLOTS: u32 = LINE;

// ── Services: a block of the table heap, immutable once published ────────────────────────────────
//
//   header line │ hash slots, 32 bytes each, linear probing │ VIP records │ wildcards, ranges and their prefix map, if any
//
// A service is one (address, protocol, port) of a VIP; its number is part of the flow key. Services of more than one address or
// port are wildcards. They are looked for when no slot has the very address and port: the prefix map leads to the
// wildcards of the longest prefix that contains the address, and these to those of the next shorter one.

/** Number of hash slots − 1. */
export const SERVICES_MASK: u32 = 0;
/** Offset of the VIP records from the block's start. */
export const SERVICES_VIPS: u32 = 4;
/** Offset of the prefix map of the wildcards; 0 when there are none. Its values are offsets of WILDCARD_* records. */
export const SERVICES_WILDCARDS: u32 = 8;
/**
 * A bit for each value of the top byte of an address service's slotHash(), 256 of them: 0 where no VIP has an address with it.
 * All are 1 when there are wildcards.
 */
export const SERVICES_ADDRESSES: u32 = 16;
/** All VIP_FLAG_* that occur: whether anything has to be asked beside the connection table. */
export const SERVICES_FLAGS: u32 = 60;
export const SERVICES_SLOTS: u32 = LINE;

export const SERVICE_BYTES: u32 = 32;
/** Address in network order: 16 bytes; IPv4 takes the first four and the others are zero. */
export const SERVICE_ADDRESS: u32 = 0;
/** Port in network order, as two bytes; 0 for the protocols without ports. */
export const SERVICE_PORT: u32 = 16;
export const SERVICE_PROTOCOL: u32 = 18;
/** 4 or 6; 0 marks an empty hash slot. */
export const SERVICE_FAMILY: u32 = 19;
/** Number of the service, from 1. */
export const SERVICE_NUMBER: u32 = 20;
/** Index of its VIP record. */
export const SERVICE_VIP: u32 = 22;
/** 1 in the copy that stands for a packet's wildcard (WORKER_WILDCARD): the flow key has the destination folded in. */
export const SERVICE_WIDE: u32 = 24;

/** The wildcards of one prefix. */
export const WILDCARD_BYTES: u32 = 32;
/** Offset of the wildcards of the longest prefix that contains this one; 0 for none. */
export const WILDCARD_PARENT: u32 = 0;
/** Number of the prefix's address service, 0 for none, and the index of its VIP record. */
export const WILDCARD_ADDRESS: u32 = 4;
export const WILDCARD_ADDRESS_VIP: u32 = 6;
/** Ports of TCP and of UDP: a WILDCARD_PORTS_* record each. */
export const WILDCARD_TCP: u32 = 8;
export const WILDCARD_UDP: u32 = 20;
/** Offset and number of the ranges, and the number that all of these services have. */
export const WILDCARD_PORTS_RANGES: u32 = 0;
export const WILDCARD_PORTS_COUNT: u32 = 4;
export const WILDCARD_PORTS_NUMBER: u32 = 8;

/** Ranges of ports: ascending, none overlaps another. */
export const RANGE_BYTES: u32 = 8;
/** First and last port, as numbers. */
export const RANGE_FIRST: u32 = 0;
export const RANGE_LAST: u32 = 2;
/** Index of the VIP record. */
export const RANGE_VIP: u32 = 4;

// Three more kinds of slots, for `nat`. Their keys have a bit more in SERVICE_FAMILY.

/** A backend's address and port, from which it answers for a service: the slot has that service's number and VIP, and */
export const SERVICE_RETURN: u32 = 16;
/** the VIP's port (network order, two bytes) and the backend's id. */
export const SERVICE_VIP_PORT: u32 = 26;
export const SERVICE_BACKEND: u32 = 28;
/**
 * An address of this machine, protocol and port 0: what backends send there is the host's own, but for ports of checks
 * through the data plane. Those begin at the one in SERVICE_NUMBER, and SERVICE_VIP says how many they are.
 */
export const SERVICE_OWN: u32 = 32;
/** An address from which a backend answers by a protocol, port 0: its fragments to others than the machine may be of answers. */
export const SERVICE_SENDER: u32 = 64;

/** The first line is read for every packet, the second for the modes and features that need it. */
export const VIP_BYTES: u32 = LINE * 2;
/** Index of the VIP, for its counters. */
export const VIP_INDEX: u32 = 0;
/** Address of the pool record. */
export const VIP_POOL: u32 = 4;
/** FORWARD_* mode. */
export const VIP_FORWARD: u32 = 8;
/** Outer TTL or hop limit of tunnels. */
export const VIP_TTL: u32 = 9;
/** VIP_FLAG_* bits. */
export const VIP_FLAGS: u32 = 10;
/** Destination port of GUE, two bytes in network order. */
export const VIP_GUE_PORT: u32 = 16;
/** Second line: outer source addresses of tunnels in network order, and which bits of their last four bytes tell flows apart. */
export const VIP_SOURCE_V4: u32 = LINE;
export const VIP_SOURCE_V4_BITS: u32 = LINE + 4;
export const VIP_SOURCE_V6: u32 = LINE + 8;
export const VIP_SOURCE_V6_BITS: u32 = LINE + 24;

/** Address in network order, 16 bytes; IPv4 takes the first four. What `nat` makes the source of answers. */
export const VIP_ADDRESS: u32 = 48;

/** The balancer answers echo requests to the VIP. */
export const VIP_FLAG_ECHO: u32 = 1;
/** What is too big for the way to the backend is sent in fragments of the outer packet, whatever the sender wishes. */
export const VIP_FLAG_FRAGMENT_OUTER: u32 = 32;
/** VIP_GUARD or VIP_RATE_INTERVAL is set. */
export const VIP_FLAG_GUARD: u32 = 2;
/** VIP_SERVER_IDS is set. */
export const VIP_FLAG_QUIC: u32 = 4;
/** Backends' answers pass through: FORWARD_NAT. */
export const VIP_FLAG_NAT: u32 = 16;

/** Offset, from the start of the services block, of the prefix map of sources, with GUARD_*; 0 for none. */
export const VIP_GUARD: u32 = 96;
/** What a packet adds to its source prefix's bucket, in units of 2^-20 ms: assembly/rates.ts. 0 for no limit. */
export const VIP_RATE_INTERVAL: u32 = 100;
/** Offset, from the start of the services block, of the prefix map of server ids, with backend ids. */
export const VIP_SERVER_IDS: u32 = 104;
/** Length of the source prefixes that have a bucket each. */
export const VIP_RATE_PREFIX: u32 = 108;
/** Bytes of a server id. */
export const VIP_SERVER_ID_BYTES: u32 = 109;

export const GUARD_DENY: u32 = 0;
export const GUARD_ALLOW: u32 = 1;

export const FORWARD_L2: u32 = 1;
export const FORWARD_GRE: u32 = 2;
export const FORWARD_IPIP: u32 = 3;
export const FORWARD_GUE: u32 = 4;
export const FORWARD_NAT: u32 = 5;

// ── Prefix map: part of a block of the table heap, immutable once published ──────────────────────
//
//   header, three lines │ hash slots, 32 bytes each, linear probing
//
// The header lists the lengths that occur, longest first: a byte each, and how many of each family.

/** Number of hash slots − 1. At least one slot is empty. */
export const PREFIX_MAP_MASK: u32 = 0;
/** Number of lengths, one byte for each family. */
export const PREFIX_MAP_V4: u32 = 4;
export const PREFIX_MAP_V6: u32 = 5;
/** Lengths from 32 to 0. */
export const PREFIX_MAP_LENGTHS_V4: u32 = 8;
/** Lengths from 128 to 0. */
export const PREFIX_MAP_LENGTHS_V6: u32 = 48;
export const PREFIX_MAP_SLOTS: u32 = LINE * 3;

export const PREFIX_BYTES: u32 = 32;
/** Address in network order, bits beyond the length zero: 16 bytes; IPv4 takes the first four and the others are zero. */
export const PREFIX_ADDRESS: u32 = 0;
/** Four bytes, as one word: length, two zeros, family. */
export const PREFIX_TAG: u32 = 16;
/** 4 or 6; 0 marks an empty hash slot. */
export const PREFIX_FAMILY: u32 = 19;
/** What the map says about the prefix: anything but NO_PREFIX. */
export const PREFIX_VALUE: u32 = 20;

export const NO_PREFIX: u32 = 0xffffffff;

// ── Backends ─────────────────────────────────────────────────────────────────────────────────────

export const BACKEND_BYTES: u32 = LINE;
/** One 64-bit word, replaced atomically: MAC of the next hop (six bytes in wire order) | interface << 48 | resolved << 56. */
export const BACKEND_NEXT_HOP: u32 = 0;
/** BACKEND_STATE_*. */
export const BACKEND_STATE: u32 = 8;
export const BACKEND_FAMILY: u32 = 12;
/** Address in network order, 16 bytes; IPv4 takes the first four. */
export const BACKEND_ADDRESS: u32 = 16;
/** Port in network order, two bytes, that `nat` sends to; 0: the port that the packet has. */
export const BACKEND_PORT: u32 = 32;
/** Address of its pool's record. */
export const BACKEND_POOL: u32 = 36;

export const BACKEND_STATE_FREE: u32 = 0;
export const BACKEND_STATE_ACTIVE: u32 = 1;
/** Keeps its flows, gets no new ones. */
export const BACKEND_STATE_DRAINING: u32 = 2;
/** A hit on it counts as a miss. */
export const BACKEND_STATE_DEAD: u32 = 3;

// ── Routes: a block of the table heap, immutable once published ──────────────────────────────────
//
//   header line │ next hops, 8 bytes each │ prefix map: destination → index of its next hop
//
// The way to clients, for answers that pass through (`nat`).

/** Offset of the prefix map from the block's start. */
export const ROUTES_PREFIXES: u32 = 0;
/** Number of next hops. */
export const ROUTES_COUNT: u32 = 4;
/** Each is a word as BACKEND_NEXT_HOP. */
export const ROUTES_HOPS: u32 = LINE;
export const ROUTE_HOP_BYTES: u32 = 8;

// ── Probes: which backend a packet of a PORT_KIND_PROBE port goes to ──────────────────────────────

/** Entries: one per source port. */
export const PROBES: u32 = 65536;
/** A backend id; 0 for a source port that probes nothing. Replaced atomically. */
export const PROBE_BYTES: u32 = 2;

// ── Rings ────────────────────────────────────────────────────────────────────────────────────────
//
// Every packet ring has the layout of the kernel's AF_XDP rings (Documentation/networking/af_xdp.rst):
// free-running 32-bit producer and consumer indices, a flags word, and a power-of-two array of
// descriptors. The kernel places those four where it likes, so a ring is described by RING_* below;
// rings of our own are laid out by MEMORY_RING_*.

/** A ring's description: four addresses and the mask. */
export const RING_BYTES: u32 = 20;
export const RING_PRODUCER: u32 = 0;
export const RING_CONSUMER: u32 = 4;
export const RING_FLAGS: u32 = 8;
export const RING_DESCRIPTORS: u32 = 12;
export const RING_MASK: u32 = 16;

/** struct xdp_desc of RX and TX: address u64 (offset into the frames), length u32, options u32. */
export const PACKET_DESCRIPTOR_BYTES: u32 = 16;
/** FILL and COMPLETION hold bare u64 addresses. */
export const FRAME_DESCRIPTOR_BYTES: u32 = 8;

/** Our own rings: producer, consumer and flags on a line each, then the descriptors. */
export const MEMORY_RING_PRODUCER: u32 = 0;
export const MEMORY_RING_CONSUMER: u32 = LINE;
export const MEMORY_RING_FLAGS: u32 = LINE * 2;
export const MEMORY_RING_DESCRIPTORS: u32 = LINE * 3;

/**
 * Descriptors of the ring by which one worker hands packets to another. The upper half of a descriptor's address is the index of
 * the interface by which the packet came.
 */
export const HANDOFF_ENTRIES: u32 = 1024;

/** Flag of TX and FILL: the kernel wants a system call (XDP_RING_NEED_WAKEUP). */
export const RING_NEED_WAKEUP: u32 = 1;

// ── Queues: FILL and COMPLETION of one (interface, queue), shared by all workers ─────────────────

export const QUEUE_BYTES: u32 = LINE * 3;
/** First line: where the rings are. Writer: controller. */
export const QUEUE_FILL: u32 = 0;
export const QUEUE_COMPLETION: u32 = 20;
/** Most frames that its FILL ring is given: of a queue that carries probes. 0: its even share of all. */
export const QUEUE_LIMIT: u32 = 40;
/** Third line: the lock. Writer: its holder. 0 when free, else worker + 1. */
export const QUEUE_LOCK: u32 = LINE * 2;
/** Intent record, written before the work: INTENT_*, the ring index and the free count at its start, and the number of frames. */
export const QUEUE_INTENT: u32 = LINE * 2 + 4;
export const QUEUE_INTENT_INDEX: u32 = LINE * 2 + 8;
export const QUEUE_INTENT_FREE: u32 = LINE * 2 + 12;
export const QUEUE_INTENT_COUNT: u32 = LINE * 2 + 16;

export const INTENT_NONE: u32 = 0;
/** Moving frames from COMPLETION to the holder's free list. */
export const INTENT_DRAIN: u32 = 1;
/** Moving frames from the holder's free list to FILL. */
export const INTENT_FILL: u32 = 2;

// ── Workers ──────────────────────────────────────────────────────────────────────────────────────

export const WORKER_BYTES: u32 = PAGE * 5;
/** Line 0. Writer: controller, before the worker starts. */
export const WORKER_PORT_COUNT: u32 = 0;
/** Line 0. Writer: controller. 1 asks this worker to drain and return. */
export const WORKER_STOP: u32 = 4;
/** Port by which each interface is reached: one byte per interface, NO_PORT for none. */
export const WORKER_EGRESS: u32 = 16;
/** Line 1. Writer: the worker. The epoch that it has seen, or WORKER_OFFLINE while it is parked or gone. */
export const WORKER_EPOCH: u32 = LINE;
/** Passes of its loop so far: a worker that is not parked and does not count is stuck. */
export const WORKER_HEARTBEAT: u32 = LINE + 4;
/** Frames on its free list. */
export const WORKER_FREE_COUNT: u32 = LINE + 8;
/** Packets of the batch in its hands, from WORKER_BATCH on. */
export const WORKER_IN_HAND: u32 = LINE + 12;
/** Addresses of the first and the last held fragment that goes on with the next batch; 0 for none. */
export const WORKER_READY: u32 = LINE + 48;
export const WORKER_READY_LAST: u32 = LINE + 52;
/** Bit per worker that was handed packets in the last pass and may have to be woken. */
export const WORKER_WAKE: u32 = LINE + 16;
/** 1 when a stopping worker has emptied its rings, and will hand nothing over any more. */
export const WORKER_DRAINED: u32 = LINE + 20;
/** What is left to do of a batch that is being shown (ports.ts); 0 at other times. */
export const WORKER_SHOWING: u32 = LINE + 24;
/** Threads that have worked for it so far. */
export const WORKER_STARTS: u32 = LINE + 32;
/** Version of the shards' owners that it uses, or is going to use when nobody uses an older one any more. */
export const WORKER_OWNERS: u32 = LINE + 28;
/** Lines 2 and 3. Writer: controller. Address of the hand-off ring to each worker, 0 for itself. */
export const WORKER_HANDOFF: u32 = LINE * 2;
/** Line of its own. Writer: whoever wakes the worker, by adding 1; what a parked worker without sockets waits on. */
export const WORKER_SIGNAL: u32 = LINE * 4;
/** Line of its own. Writer: the worker. A SERVICE_* record: the wildcard that was found last, as if for one address and port. */
export const WORKER_WILDCARD: u32 = LINE * 5;
/** Lines 8 and 9. Writer: the worker. Producer index of the hand-off ring to each worker, when the batch in hand will be shown. */
export const WORKER_HANDED: u32 = LINE * 8;
/** Packet records of the batch in hand. Writer: the worker. */
export const WORKER_BATCH: u32 = PAGE * 2;
/** Ports. Writer: controller, before the worker starts. */
export const WORKER_PORTS: u32 = PAGE * 3;
/** Packets that the batch sends beyond those that came: EXTRA_* records. Writer: the worker. */
export const WORKER_EXTRAS: u32 = PAGE;
/** Addresses of the records of the batch that missed, four bytes each. Writer: the worker. */
export const WORKER_MISSES: u32 = PAGE * 2 - LINE * 4;

/** WORKER_EPOCH of a worker that holds no reference to any published block. */
export const WORKER_OFFLINE: u32 = 0xffffffff;

// ── Ports: the only way packets enter and leave ──────────────────────────────────────────────────

export const PORT_BYTES: u32 = LINE * 2;
/** RX ring, where packets come from. */
export const PORT_RX: u32 = 0;
/** TX ring; all zero for a port that only receives. */
export const PORT_TX: u32 = 20;
/** Address of the queue record that frames of this port belong to; 0 for a hand-off ring. */
export const PORT_QUEUE: u32 = 40;
/** Socket to kick after a push, or NO_SOCKET. */
export const PORT_SOCKET: u32 = 44;
/** Index of the interface; NO_INTERFACE for a hand-off ring and for ports by which nothing is forwarded. */
export const PORT_INTERFACE: u32 = 48;
/** PORT_KIND_*: what packets that come by it are. */
export const PORT_KIND: u32 = 52;
export const NO_SOCKET: u32 = 0xffffffff;
export const NO_INTERFACE: u32 = 255;
export const NO_PORT: u32 = 255;

/** Packets of clients. */
export const PORT_KIND_TRAFFIC: u32 = 0;
/** The controller's own packets, which leave by the port they came from: they test the worker (docs/forwarder.md). */
export const PORT_KIND_SELF_TEST: u32 = 1;
/** Health checks through the tunnels: the source port names the backend, by the probes table. */
export const PORT_KIND_PROBE: u32 = 2;
/** Second line. Writer: the worker. TX producer while a batch is pushed, and the consumer as last read. */
export const PORT_TX_PENDING: u32 = LINE;
export const PORT_TX_SEEN: u32 = LINE + 4;

// ── Packet record: what the pipeline knows of one packet; also the journal's record ──────────────

export const PACKET_BYTES: u32 = LINE;
/** Address of the packet's first byte. */
export const PACKET_START: u32 = 0;
/** Bytes from there. */
export const PACKET_LENGTH: u32 = 4;
/** Flow key after mixing, 64 bits: chooses shard, line and fingerprint. */
export const PACKET_KEY: u32 = 8;
/** Address of its conntrack line. */
export const PACKET_LINE: u32 = 16;
/** Address of its VIP record; 0 when it is for no VIP. */
export const PACKET_VIP: u32 = 20;
/** Number of its service; 0 for none. */
export const PACKET_SERVICE: u32 = 24;
/** Backend id; 0 for none. */
export const PACKET_BACKEND: u32 = 26;
/** Flow hash of the lookup table, computed on a miss only. */
export const PACKET_HASH: u32 = 28;
/** Slot of the lookup table, on a miss only. */
export const PACKET_SLOT: u32 = 32;
/** Bytes of the IP packet by its own header. */
export const PACKET_IP_LENGTH: u32 = 36;
/** Offset of the IP header, and of the layer-4 header, from the start. */
export const PACKET_L3: u32 = 38;
export const PACKET_L4: u32 = 39;
/** 4 or 6. */
export const PACKET_FAMILY: u32 = 40;
export const PACKET_PROTOCOL: u32 = 41;
export const PACKET_TCP_FLAGS: u32 = 42;
export const PACKET_REASON: u32 = 43;
/** TRACK_*: what the connection table did. */
export const PACKET_TRACK: u32 = 44;
/** Port by which it came. */
export const PACKET_PORT: u32 = 45;
/** A sum of PACKET_KIND_*. */
export const PACKET_KIND: u32 = 46;
/** Set in what steer() returns when the packet has a shard. */
export const STEERED: u32 = 256;
/** Set besides when the packet concerns a flow whose shard may be another: offline it goes alone, so that the order is kept. */
export const STEERED_APART: u32 = 512;
/** Frame it lies in, as an offset into the frames region: stays when the packet's start moves. */
export const PACKET_FRAME: u32 = 48;
/** Ports of its flow, raw: source in the low, destination in the high half. */
export const PACKET_PORTS: u32 = 52;
/** Fragments that it leaves in, behind the first. */
export const PACKET_EXTRAS: u32 = 47;

// ── Extra record: a packet in a frame of the worker's own ─────────────────────────────────────────

/** Most of a batch: two for each packet, as the largest that fits into a frame needs at an MTU of 1500. */
export const MAX_EXTRAS: u32 = BATCH * 2;
export const EXTRA_BYTES: u32 = 16;
/** Address of its first byte. */
export const EXTRA_START: u32 = 0;
export const EXTRA_LENGTH: u32 = 4;
/** Frame it lies in, as an offset into the frames region. */
export const EXTRA_FRAME: u32 = 8;
/** Address of the record of the packet that it follows, and whose way it goes. */
export const EXTRA_PACKET: u32 = 12;

/**
 * Of a fragment, its datagram: DATAGRAM_TAG. Of one whose wait has ended in vain, the reason that it gets. Of an ICMP error, where
 * the ports are that it quotes (assembly/quoted.ts).
 */
export const PACKET_TAG: u32 = 56;

export const PACKET_KIND_ORDINARY: u32 = 0;
/** A fragment. When it comes from a hand-off ring or was held, its ports are known. */
export const PACKET_KIND_FRAGMENT: u32 = 1;
/** An ICMP error about a packet of its flow. It has no line until it follows the flow's entry. */
export const PACKET_KIND_ICMP_ERROR: u32 = 2;
/** A backend's answer, on its way back to the client (`nat`): its key and ports are those of the client's packets. */
export const PACKET_KIND_RETURN: u32 = 4;

// ── Connection table ─────────────────────────────────────────────────────────────────────────────
//
//   0              14             28                                          56             63
//   ├─ signature ──┼─ backend ────┼─ fingerprint ─────────────────────────────┼─ meta ───────┼─ away
//   │  u16 × 7     │  u16 × 7     │  u32 × 7                                  │  u8 × 7      │  u8
//
// Way w is empty when its backend is 0. Meta is state << AGE_BITS | age. Bit w of away: the flow in way w has
// its home in the neighbouring line (index ^ 1) and overflowed into this one.

/**
 * Raised whenever the drawing, the states, the flow key or SHARD_* change meaning: what a process has left behind in a file
 * (src/dataplane/persistence) is read by one of the same number only.
 */
export const CONNTRACK_VERSION: u32 = 1;
export const WAYS: u32 = 7;
export const WAY_SIGNATURE: u32 = 0;
export const WAY_BACKEND: u32 = 14;
export const WAY_FINGERPRINT: u32 = 28;
export const WAY_META: u32 = 56;
export const LINE_AWAY: u32 = 63;

export const FLOW_NEW: u32 = 0;
export const FLOW_ESTABLISHED: u32 = 1;
export const FLOW_CLOSING: u32 = 2;
export const FLOW_UDP: u32 = 3;

/** An age counts in 1/16 of its state's timeout, modulo 64. */
export const AGE_PER_TIMEOUT: u32 = 16;
export const AGE_BITS: u32 = 6;
export const AGE_MASK: u32 = 63;

export const TRACK_NONE: u32 = 0;
/** Found in its home line, or in the neighbouring line. */
export const TRACK_HIT: u32 = 1;
export const TRACK_HIT_AWAY: u32 = 2;
/** Not found; inserted into an empty way at home or next door, or in place of another flow. */
export const TRACK_INSERTED: u32 = 3;
export const TRACK_INSERTED_AWAY: u32 = 4;
export const TRACK_EVICTED: u32 = 5;
/** Its backend was dead or its connection over, and its entry was replaced. */
export const TRACK_REPLACED: u32 = 6;

// ── Shards: what is kept of each beside its lines ─────────────────────────────────────────────────

export const SHARD_BYTES: u32 = LINE;
/** Flows entered of late, in units that leak away: assembly/admission.ts. 64 bits. */
export const SHARD_ENTERED: u32 = 0;
/** Clock at the last of them, milliseconds, 64 bits. */
export const SHARD_ENTERED_AT: u32 = 8;
/** ICMP errors sent of late, likewise. */
export const SHARD_ANSWERED: u32 = 16;
/** Packets sent in fragments so far. */
export const SHARD_FRAGMENTED: u32 = 32;
/** Clock when a line of it was swept last, milliseconds, 64 bits: the latest of all shards' is when their owners lived. */
export const SHARD_SWEPT_AT: u32 = 40;

// ── Rates: buckets of source prefixes, eight cells of 64 bits to a line ───────────────────────────
//
// A cell is 0, or a prefix's tag in its upper 16 bits and the time at which its bucket will be empty in the lower 48.

export const RATE_LINES: u32 = 16384;
export const RATE_CELLS: u32 = 8;

// ── Fragments: a page for each shard ─────────────────────────────────────────────────────────────
//
//   0        64                             1600                                3648
//   ├ count ─┼─ 8 sets of 8 datagrams ──────┼─ 64 held fragments ───────────────┤
//
// The shard is that of the address key, by which the XDP program steers fragments. A datagram whose first fragment was seen has
// a record; a later fragment that comes before it is held: it keeps its frame, and waits for the ports.

/** Held fragments that wait. */
export const FRAGMENT_WAITING: u32 = 0;
export const FRAGMENT_DATAGRAMS: u32 = LINE;
export const DATAGRAM_SETS: u32 = 8;
export const DATAGRAM_WAYS: u32 = 8;
export const DATAGRAM_BYTES: u32 = 24;
/** Keyed hash of source, destination, identification and protocol, 64 bits; 0 for none. */
export const DATAGRAM_TAG: u32 = 0;
/** Time of the clock when it is forgotten, 64 bits. */
export const DATAGRAM_UNTIL: u32 = 8;
/** PACKET_PORTS of its flow. */
export const DATAGRAM_PORTS: u32 = 16;
/** How long after its first fragment a datagram is known, and how long a fragment is held: milliseconds, steps of the clock. */
export const DATAGRAM_KNOWN_MS: u32 = 2048;
export const FRAGMENT_HELD_MS: u32 = 512;

export const FRAGMENT_HELD: u32 = FRAGMENT_DATAGRAMS + DATAGRAM_SETS * DATAGRAM_WAYS * DATAGRAM_BYTES;
/** Held fragments of a shard at most: the others of a datagram of 64 KiB come before the first one in 45. */
export const HELD_FRAGMENTS: u32 = 64;
export const HELD_BYTES: u32 = 32;
/** DATAGRAM_TAG. */
export const HELD_TAG: u32 = 0;
/** Time of the clock when its wait ends, 64 bits; of one that is ready, address of the next such, 32 bits. */
export const HELD_UNTIL: u32 = 8;
/** Where the packet begins, as an offset into the frames region, and its bytes. */
export const HELD_ADDRESS: u32 = 16;
export const HELD_LENGTH: u32 = 20;
/** Ports of its flow, once it is ready; 0 when it waited in vain. */
export const HELD_PORTS: u32 = 24;
/** Port by which it came. */
export const HELD_PORT: u32 = 28;
/** HELD_STATE_*. */
export const HELD_STATE: u32 = 29;
export const HELD_STATE_FREE: u32 = 0;
export const HELD_STATE_WAITING: u32 = 1;
export const HELD_STATE_READY: u32 = 2;

// ── Counters: one block per worker, all 64 bits wide ─────────────────────────────────────────────

/** One counter per REASON_*. */
export const COUNTER_REASONS: u32 = 0;
export const REASONS: u32 = 64;
export const COUNTER_RECEIVED: u32 = REASONS * 8;
export const COUNTER_RECEIVED_BYTES: u32 = COUNTER_RECEIVED + 8;
export const COUNTER_BATCHES: u32 = COUNTER_RECEIVED + 16;
export const COUNTER_HANDED: u32 = COUNTER_RECEIVED + 24;
export const COUNTER_SWEPT: u32 = COUNTER_RECEIVED + 32;
export const COUNTER_EXPIRED: u32 = COUNTER_RECEIVED + 40;
export const COUNTER_EVICTED: u32 = COUNTER_RECEIVED + 48;
export const COUNTER_TRAPS: u32 = COUNTER_RECEIVED + 56;
/** Nanoseconds spent in passes that found packets, the kernel's part apart. */
export const COUNTER_BUSY_NS: u32 = COUNTER_RECEIVED + 64;
/** Nanoseconds of those passes in which the kernel sent: in copy mode it does that in the worker's own time. */
export const COUNTER_KERNEL_NS: u32 = COUNTER_RECEIVED + 96;
export const COUNTER_KICKS: u32 = COUNTER_RECEIVED + 72;
export const COUNTER_PARKS: u32 = COUNTER_RECEIVED + 80;
export const COUNTER_JOURNAL_LOST: u32 = COUNTER_RECEIVED + 88;
/** Fragments sent, behind the first of each packet. */
export const COUNTER_EXTRAS: u32 = COUNTER_RECEIVED + 112;
/** Change in entries of the connection table (signed). */
export const COUNTER_ENTRIES: u32 = COUNTER_RECEIVED + 104;
export const COUNTER_VIPS: u32 = COUNTER_RECEIVED + 256;
/** Per VIP: packets, bytes. */
export const COUNTER_VIP_BYTES: u32 = 16;
export const COUNTER_BACKENDS: u32 = COUNTER_VIPS + MAX_VIPS * COUNTER_VIP_BYTES;
/** Per backend id: packets, bytes, new flows, and the change in active flows (signed). */
export const COUNTER_BACKEND_BYTES: u32 = 32;
// Behind the backends, from HEADER_VIP_REASONS on:
/** Per VIP: one counter per REASON_*. Hits are not counted here: COUNTER_VIPS has them. */
export const COUNTER_VIP_REASONS_BYTES: u32 = REASONS * 8;

// ── Journal: a ring of packet records per worker ─────────────────────────────────────────────────

export const JOURNAL_PRODUCER: u32 = 0;
export const JOURNAL_CONSUMER: u32 = LINE;
export const JOURNAL_RECORDS: u32 = LINE * 2;
