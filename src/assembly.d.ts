// assembly/layout.ts is AssemblyScript and TypeScript at once; its one type, here.
type u32 = number;
