// Keeps the XDP program's wildcards (native/bpf/services.h) as services come and go. A prefix whose ports change gets a new list
// of them under a new id, then refers to it, then the old list goes: a packet finds the old or the new.

import { PROTOCOL_TCP, PROTOCOL_UDP, type Service, serviceName } from "../config/services.ts";
import { portBlocks, type Wildcards, wildcardsOf } from "../dataplane/wildcards.ts";
import type { XdpProgram } from "../native.ts";

/** What the program has of a prefix. */
interface Installed {
  id: number;
  wildcards: Wildcards;
  /** Equal when nothing is to be done. */
  signature: string;
}

export class WildcardSteering {
  readonly #program: XdpProgram;
  #services: readonly Service[] = [];
  /** By canonical text of the prefix. */
  #installed = new Map<string, Installed>();
  #ids = 0;

  constructor(program: XdpProgram) {
    this.#program = program;
  }

  add(services: readonly Service[]): void {
    if (services.length > 0) this.#follow([...this.#services, ...services]);
  }

  remove(services: readonly Service[]): void {
    const names = new Set(services.map(serviceName));
    if (names.size > 0) this.#follow(this.#services.filter((each) => !names.has(serviceName(each))));
  }

  #follow(services: readonly Service[]): void {
    const before = this.#installed;
    this.#services = services;
    this.#installed = new Map();
    for (const wildcards of wildcardsOf(services)) {
      const { address } = wildcards;
      const old = before.get(address);
      const signature = signatureOf(wildcards);
      this.#installed.set(address, old?.signature === signature ? old : this.#install(wildcards, signature));
      if (old && old.signature !== signature) this.#deletePorts(old);
    }
    for (const [address, old] of before) {
      if (this.#installed.has(address)) continue;
      this.#program.deleteWildcard(old.wildcards.prefix.bytes, old.wildcards.prefix.length);
      this.#deletePorts(old);
    }
  }

  #install(wildcards: Wildcards, signature: string): Installed {
    const id = ++this.#ids;
    const { prefix, tcp, udp, addressService } = wildcards;
    for (const [protocol, { first, bits }] of blocksOf(wildcards))
      this.#program.addPorts(id, protocol, first, bits);
    this.#program.setWildcard(prefix.bytes, prefix.length, {
      id,
      tcpNumber: tcp.number,
      udpNumber: udp.number,
      addressNumber: addressService?.number ?? 0,
    });
    return { id, wildcards, signature };
  }

  #deletePorts({ id, wildcards }: Installed): void {
    for (const [protocol, { first, bits }] of blocksOf(wildcards))
      this.#program.deletePorts(id, protocol, first, bits);
  }
}

function signatureOf({ tcp, udp, addressService }: Wildcards): string {
  const of = ({ number, ranges }: Wildcards["tcp"]) => [
    number,
    ranges.map(({ first, last }) => [first, last]),
  ];
  return JSON.stringify([of(tcp), of(udp), addressService?.number]);
}

function blocksOf({ tcp, udp }: Wildcards) {
  return [
    ...tcp.ranges.flatMap(portBlocks).map((block) => [PROTOCOL_TCP, block] as const),
    ...udp.ranges.flatMap(portBlocks).map((block) => [PROTOCOL_UDP, block] as const),
  ];
}
