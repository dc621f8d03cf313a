// IEEE 802.1Q tags, which stand in front of the EtherType.
//
//   12          14          16
//   ├─ 0x8100 ──┼─ tag ─────┼─ EtherType …

/** Bytes of a tag. */
export const VLAN_BYTES: u32 = 4;
/** Tags that are looked behind. */
export const VLAN_DEPTH: u32 = 2;

const CUSTOMER: u32 = 0x0081;
const SERVICE: u32 = 0xa888;

/** Whether a raw EtherType announces a tag: 0x8100 (802.1Q) or 0x88a8 (802.1ad). */
export function isTag(etherType: u32): bool {
  return etherType == CUSTOMER || etherType == SERVICE;
}
