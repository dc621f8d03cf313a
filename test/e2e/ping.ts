// Echo requests from inside a lab. Node has no raw sockets and a minimal Debian no ping, but perl is always there
// (perl-base is essential).

import type { Lab } from "../../src/lab/lab.ts";
import { findTool } from "../../src/lab/process.ts";
import { onesSum } from "../model/checksum.ts";

/** Why there can be no pings here; false when there can. */
export const withoutPing: string | false = findTool("perl") === undefined ? "needs perl" : false;

/** Sends `count` requests, one after the other, and writes what arrives for its id as lines `address hex`. */
const PING = `
use Socket qw(:all);
my ($to, $count, $bytes) = @ARGV;
my $v6 = $to =~ /:/;
my $id = $$ & 0xffff;
sub sum { my $s = unpack("%32n*", $_[0] . "\\0"); $s = ($s >> 16) + ($s & 0xffff) while $s >> 16; ~$s & 0xffff }
socket(my $s, $v6 ? AF_INET6 : AF_INET, SOCK_RAW, $v6 ? 58 : 1) or die $!;
my $address = $v6 ? pack_sockaddr_in6(0, inet_pton(AF_INET6, $to)) : pack_sockaddr_in(0, inet_aton($to));
connect($s, $address) or die $!;
for my $seq (1 .. $count) {
  my $data = pack("a$bytes", join "", map { chr(($_ * 7 + $seq) & 0xff) } 1 .. $bytes);
  my $sum = $v6 ? 0 : sum(pack("CCnnna*", 8, 0, 0, $id, $seq, $data));
  send($s, pack("CCnnna*", $v6 ? 128 : 8, 0, $sum, $id, $seq, $data), 0) or die $!;
  my $until = time + 2;
  while (time < $until) {
    vec(my $ready = "", fileno($s), 1) = 1;
    select($ready, undef, undef, 0.5) or next;
    my $from = recv($s, my $got, 65536, 0);
    my $icmp = $v6 ? $got : substr($got, (ord($got) & 15) * 4);
    my ($type, $code, $ignored, $its, $number) = unpack("CCnnn", $icmp);
    next if $type != ($v6 ? 129 : 0) || $its != $id || $number != $seq;
    print substr($icmp, 8) eq $data ? "same" : "other", " ", unpack("H*", $got), "\\n";
    last;
  }
}
`;

export interface Reply {
  /** Whether the reply carries the data of its request. */
  same: boolean;
  /** IPv4: TTL as it arrived, and whether both checksums are right. The kernel checks ICMPv6's before we see it. */
  ttl: number | undefined;
  checksums: boolean;
}

/** The replies that came, at most one for each request. */
export async function ping(lab: Lab, node: string, to: string, count: number, bytes = 56): Promise<Reply[]> {
  const argv = ["perl", "-e", PING, to, String(count), String(bytes)];
  const { stdout } = await lab.exec(node, argv, { timeoutMs: count * 2000 + 5000 });
  const lines = stdout.split("\n").filter(Boolean);
  return lines.map((line) => {
    const [same, hex = ""] = line.split(" ");
    if (to.includes(":")) return { same: same === "same", ttl: undefined, checksums: true };
    const packet = Buffer.from(hex, "hex");
    const header = (packet[0]! & 15) * 4;
    const right = [packet.subarray(0, header), packet.subarray(header)].every(
      (part) => onesSum(part) === 0xffff,
    );
    return { same: same === "same", ttl: packet[8], checksums: right };
  });
}
