// The part of parse-prometheus-text-format, which comes without declarations, that the tests use.
declare module "parse-prometheus-text-format" {
  export interface ParsedFamily {
    name: string;
    help: string;
    type: string;
    metrics: { value: string; labels?: Record<string, string> }[];
  }
  export default function parse(text: string): ParsedFamily[];
}
