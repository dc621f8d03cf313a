// Names for the fields of the arena's records. The classes are unmanaged: a reference is an address and a
// field access one load or store. The offsets are layout.ts's; a class that disagrees does not compile.

import {
  BACKEND_ADDRESS,
  BACKEND_FAMILY,
  BACKEND_NEXT_HOP,
  BACKEND_POOL,
  BACKEND_PORT,
  BACKEND_STATE,
  EXTRA_BYTES,
  EXTRA_FRAME,
  EXTRA_LENGTH,
  EXTRA_PACKET,
  EXTRA_START,
  PACKET_BACKEND,
  PACKET_EXTRAS,
  PACKET_FAMILY,
  PACKET_FRAME,
  PACKET_HASH,
  PACKET_IP_LENGTH,
  PACKET_KEY,
  PACKET_KIND,
  PACKET_L3,
  PACKET_L4,
  PACKET_LENGTH,
  PACKET_LINE,
  PACKET_PORT,
  PACKET_PORTS,
  PACKET_PROTOCOL,
  PACKET_REASON,
  PACKET_SERVICE,
  PACKET_SLOT,
  PACKET_START,
  PACKET_TAG,
  PACKET_TCP_FLAGS,
  PACKET_TRACK,
  PACKET_VIP,
  PORT_INTERFACE,
  PORT_KIND,
  PORT_QUEUE,
  PORT_RX,
  PORT_SOCKET,
  PORT_TX,
  PORT_TX_PENDING,
  PORT_TX_SEEN,
  QUEUE_COMPLETION,
  QUEUE_FILL,
  QUEUE_INTENT,
  QUEUE_INTENT_COUNT,
  QUEUE_INTENT_FREE,
  QUEUE_INTENT_INDEX,
  QUEUE_LIMIT,
  QUEUE_LOCK,
  RING_BYTES,
  RING_CONSUMER,
  RING_DESCRIPTORS,
  RING_FLAGS,
  RING_MASK,
  RING_PRODUCER,
  VIP_ADDRESS,
  VIP_FLAGS,
  VIP_FORWARD,
  VIP_GUARD,
  VIP_INDEX,
  VIP_POOL,
  VIP_RATE_INTERVAL,
  VIP_RATE_PREFIX,
  VIP_SERVER_ID_BYTES,
  VIP_SERVER_IDS,
  VIP_TTL,
} from "./layout";

/** What the pipeline knows of one packet of the batch. */
@unmanaged
export class Packet {
  start: u32;
  length: u32;
  key: u64;
  line: u32;
  vip: u32;
  service: u16;
  backend: u16;
  hash: u32;
  slot: u32;
  ipLength: u16;
  l3: u8;
  l4: u8;
  family: u8;
  protocol: u8;
  tcpFlags: u8;
  reason: u8;
  track: u8;
  port: u8;
  kind: u8;
  extras: u8;
  frame: u32;
  ports: u32;
  tag: u64;
}
if (offsetof<Packet>("start") != PACKET_START) ERROR("PACKET_START");
if (offsetof<Packet>("length") != PACKET_LENGTH) ERROR("PACKET_LENGTH");
if (offsetof<Packet>("key") != PACKET_KEY) ERROR("PACKET_KEY");
if (offsetof<Packet>("line") != PACKET_LINE) ERROR("PACKET_LINE");
if (offsetof<Packet>("vip") != PACKET_VIP) ERROR("PACKET_VIP");
if (offsetof<Packet>("service") != PACKET_SERVICE) ERROR("PACKET_SERVICE");
if (offsetof<Packet>("backend") != PACKET_BACKEND) ERROR("PACKET_BACKEND");
if (offsetof<Packet>("hash") != PACKET_HASH) ERROR("PACKET_HASH");
if (offsetof<Packet>("slot") != PACKET_SLOT) ERROR("PACKET_SLOT");
if (offsetof<Packet>("ipLength") != PACKET_IP_LENGTH) ERROR("PACKET_IP_LENGTH");
if (offsetof<Packet>("l3") != PACKET_L3) ERROR("PACKET_L3");
if (offsetof<Packet>("l4") != PACKET_L4) ERROR("PACKET_L4");
if (offsetof<Packet>("family") != PACKET_FAMILY) ERROR("PACKET_FAMILY");
if (offsetof<Packet>("protocol") != PACKET_PROTOCOL) ERROR("PACKET_PROTOCOL");
if (offsetof<Packet>("tcpFlags") != PACKET_TCP_FLAGS) ERROR("PACKET_TCP_FLAGS");
if (offsetof<Packet>("reason") != PACKET_REASON) ERROR("PACKET_REASON");
if (offsetof<Packet>("track") != PACKET_TRACK) ERROR("PACKET_TRACK");
if (offsetof<Packet>("port") != PACKET_PORT) ERROR("PACKET_PORT");
if (offsetof<Packet>("kind") != PACKET_KIND) ERROR("PACKET_KIND");
if (offsetof<Packet>("extras") != PACKET_EXTRAS) ERROR("PACKET_EXTRAS");
if (offsetof<Packet>("frame") != PACKET_FRAME) ERROR("PACKET_FRAME");
if (offsetof<Packet>("ports") != PACKET_PORTS) ERROR("PACKET_PORTS");
if (offsetof<Packet>("tag") != PACKET_TAG) ERROR("PACKET_TAG");

/** A packet that the batch sends beyond those that came. */
@unmanaged
export class Extra {
  start: u32;
  length: u32;
  frame: u32;
  packet: u32;
}
if (offsetof<Extra>("start") != EXTRA_START) ERROR("EXTRA_START");
if (offsetof<Extra>("length") != EXTRA_LENGTH) ERROR("EXTRA_LENGTH");
if (offsetof<Extra>("frame") != EXTRA_FRAME) ERROR("EXTRA_FRAME");
if (offsetof<Extra>("packet") != EXTRA_PACKET) ERROR("EXTRA_PACKET");
if (offsetof<Extra>() != EXTRA_BYTES) ERROR("EXTRA_BYTES");

/** Where a ring's parts are. The kernel's and our own rings look the same from here. */
@unmanaged
export class Ring {
  producer: u32;
  consumer: u32;
  flags: u32;
  descriptors: u32;
  mask: u32;
}
if (offsetof<Ring>("producer") != RING_PRODUCER) ERROR("RING_PRODUCER");
if (offsetof<Ring>("consumer") != RING_CONSUMER) ERROR("RING_CONSUMER");
if (offsetof<Ring>("flags") != RING_FLAGS) ERROR("RING_FLAGS");
if (offsetof<Ring>("descriptors") != RING_DESCRIPTORS) ERROR("RING_DESCRIPTORS");
if (offsetof<Ring>("mask") != RING_MASK) ERROR("RING_MASK");
if (offsetof<Ring>() != RING_BYTES) ERROR("RING_BYTES");

/** A port of the worker; its two rings are rx and tx. */
@unmanaged
export class Port {
  private r0: u32;
  private r1: u32;
  private r2: u32;
  private r3: u32;
  private r4: u32;
  private t0: u32;
  private t1: u32;
  private t2: u32;
  private t3: u32;
  txMask: u32;
  queue: u32;
  socket: u32;
  interface_: u32;
  kind: u32;
  private pad0: u32;
  private pad1: u32;
  txPending: u32;
  txSeen: u32;

  get rx(): Ring {
    return changetype<Ring>(changetype<usize>(this) + PORT_RX);
  }
  get tx(): Ring {
    return changetype<Ring>(changetype<usize>(this) + PORT_TX);
  }
}
if (offsetof<Port>("t0") != PORT_TX) ERROR("PORT_TX");
if (offsetof<Port>("queue") != PORT_QUEUE) ERROR("PORT_QUEUE");
if (offsetof<Port>("socket") != PORT_SOCKET) ERROR("PORT_SOCKET");
if (offsetof<Port>("interface_") != PORT_INTERFACE) ERROR("PORT_INTERFACE");
if (offsetof<Port>("kind") != PORT_KIND) ERROR("PORT_KIND");
if (offsetof<Port>("txPending") != PORT_TX_PENDING) ERROR("PORT_TX_PENDING");
if (offsetof<Port>("txSeen") != PORT_TX_SEEN) ERROR("PORT_TX_SEEN");

/** FILL and COMPLETION of one (interface, queue), their lock and the intent of its holder. */
@unmanaged
export class Queue {
  get fill(): Ring {
    return changetype<Ring>(changetype<usize>(this) + QUEUE_FILL);
  }
  get completion(): Ring {
    return changetype<Ring>(changetype<usize>(this) + QUEUE_COMPLETION);
  }
  get limit(): u32 {
    return load<u32>(changetype<usize>(this), QUEUE_LIMIT);
  }
  /** Takes the lock for a worker unless somebody has it. */
  tryLock(worker: u32): bool {
    const lock = changetype<usize>(this) + QUEUE_LOCK;
    return atomic.load<u32>(lock) == 0 && atomic.cmpxchg<u32>(lock, 0, worker + 1) == 0;
  }
  isHeldBy(worker: u32): bool {
    return atomic.load<u32>(changetype<usize>(this) + QUEUE_LOCK) == worker + 1;
  }
  unlock(): void {
    atomic.store<u32>(changetype<usize>(this) + QUEUE_LOCK, 0);
  }
  get intent(): u32 {
    return atomic.load<u32>(changetype<usize>(this) + QUEUE_INTENT);
  }
  get intendedIndex(): u32 {
    return load<u32>(changetype<usize>(this), QUEUE_INTENT_INDEX);
  }
  get intendedFree(): u32 {
    return load<u32>(changetype<usize>(this), QUEUE_INTENT_FREE);
  }
  get intendedCount(): u32 {
    return load<u32>(changetype<usize>(this), QUEUE_INTENT_COUNT);
  }
  /** Written before frames move, so that whoever breaks a dead holder's lock knows what to undo. */
  intend(intent: u32, index: u32, free: u32, count: u32): void {
    const at = changetype<usize>(this);
    store<u32>(at, index, QUEUE_INTENT_INDEX);
    store<u32>(at, free, QUEUE_INTENT_FREE);
    store<u32>(at, count, QUEUE_INTENT_COUNT);
    atomic.store<u32>(at + QUEUE_INTENT, intent);
  }
}

@unmanaged
export class Vip {
  index: u32;
  pool: u32;
  forward: u8;
  ttl: u8;
  flags: u8;

  get address0(): u64 {
    return load<u64>(changetype<usize>(this), VIP_ADDRESS);
  }
  get address1(): u64 {
    return load<u64>(changetype<usize>(this), VIP_ADDRESS + 8);
  }
  get guard(): u32 {
    return load<u32>(changetype<usize>(this), VIP_GUARD);
  }
  get rateInterval(): u32 {
    return load<u32>(changetype<usize>(this), VIP_RATE_INTERVAL);
  }
  get ratePrefix(): u32 {
    return load<u8>(changetype<usize>(this), VIP_RATE_PREFIX);
  }
  get serverIds(): u32 {
    return load<u32>(changetype<usize>(this), VIP_SERVER_IDS);
  }
  get serverIdBytes(): u32 {
    return load<u8>(changetype<usize>(this), VIP_SERVER_ID_BYTES);
  }
}
if (offsetof<Vip>("index") != VIP_INDEX) ERROR("VIP_INDEX");
if (offsetof<Vip>("pool") != VIP_POOL) ERROR("VIP_POOL");
if (offsetof<Vip>("forward") != VIP_FORWARD) ERROR("VIP_FORWARD");
if (offsetof<Vip>("ttl") != VIP_TTL) ERROR("VIP_TTL");
if (offsetof<Vip>("flags") != VIP_FLAGS) ERROR("VIP_FLAGS");

@unmanaged
export class Backend {
  nextHop: u64;
  state: u32;
  family: u32;
  address0: u64;
  address1: u64;
  port: u16;
  pool: u32;
}
if (offsetof<Backend>("port") != BACKEND_PORT) ERROR("BACKEND_PORT");
if (offsetof<Backend>("pool") != BACKEND_POOL) ERROR("BACKEND_POOL");
if (offsetof<Backend>("nextHop") != BACKEND_NEXT_HOP) ERROR("BACKEND_NEXT_HOP");
if (offsetof<Backend>("state") != BACKEND_STATE) ERROR("BACKEND_STATE");
if (offsetof<Backend>("family") != BACKEND_FAMILY) ERROR("BACKEND_FAMILY");
if (offsetof<Backend>("address0") != BACKEND_ADDRESS) ERROR("BACKEND_ADDRESS");
