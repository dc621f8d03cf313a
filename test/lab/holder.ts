/** A program that holds a lab: `holder.ts PREFIX wait|throw|exit`. Says `up` when it is up. */
import { Lab } from "../../src/lab/lab.ts";

const [prefix = "", end] = process.argv.slice(2);
await Lab.up({ prefix, backends: 2 });
process.stdout.write("up\n");
if (end === "throw") {
  setTimeout(() => {
    throw new Error("uncaught");
  }, 10);
}
if (end === "exit") process.exit(7);
setInterval(() => {}, 1000);
