// A process that announces, to be killed: node holder.ts CONFIGURATION-AS-JSON PREFIX... Says `announced` when it has.
import { announcementsOf } from "../../src/announce/announcer.ts";
import { createAnnouncer } from "../../src/announce/create.ts";
import { createLogger } from "../../src/log.ts";

const [config = "{}", ...prefixes] = process.argv.slice(2);
const announcer = createAnnouncer(JSON.parse(config), createLogger({ level: "info", format: "text" }));
process.on("SIGTERM", () => {
  void announcer.stop().then(() => process.exit());
});
announcer.want(announcementsOf(prefixes));
await announcer.settled();
process.stdout.write(`announced ${announcer.status().announced.length}\n`);
setInterval(() => {}, 1000);
