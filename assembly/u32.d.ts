// The type of the constants in layout.ts, where that file is TypeScript.
declare type u32 = number;
