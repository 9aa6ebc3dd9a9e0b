import { z } from 'zod';

/** A number, or a formula over PAGE_SIZE, PAGE_SHIFT, PHYS_BITS and the contract's constants. */
const expression = z.union([z.number().int().nonnegative(), z.string().min(1)]);

const fieldAttributes = {
  type: z.enum(['u8', 'u16', 'u32', 'u64', 'char', 'struct']).optional(),
  count: expression.optional(),
  bits: expression.optional(),
  struct: z.string().optional(),
  byteOrder: z.enum(['big', 'native']).optional(),
  doc: z.string().optional(),
};

const fieldChange = z.strictObject({
  struct: z.string(),
  field: z.string(),
  set: z.strictObject({ name: z.string().optional(), ...fieldAttributes }),
});

const fieldAdd = z.strictObject({
  struct: z.string(),
  add: z.strictObject({
    name: z.string(),
    ...fieldAttributes,
    type: z.enum(['u8', 'u16', 'u32', 'u64', 'char', 'struct']),
  }),
  before: z.string().optional(),
  after: z.string().optional(),
});

const fieldRemove = z.strictObject({ struct: z.string(), remove: z.string() });

const fieldMove = z.strictObject({
  struct: z.string(),
  move: z.string(),
  before: z.string().optional(),
  after: z.string().optional(),
});

const constantChange = z.strictObject({ constant: z.string(), set: expression });

const propertyType = z.enum(['string', 'u32', 'u64', 'u64[]', 'struct']);

const propertyChange = z.strictObject({
  property: z.string(),
  node: z.string().optional(),
  set: z.strictObject({
    name: z.string().optional(),
    type: propertyType.optional(),
    struct: z.string().optional(),
    byteOrder: z.enum(['big', 'native']).optional(),
    required: z.boolean().optional(),
    doc: z.string().optional(),
  }),
});

const propertyAdd = z.strictObject({
  node: z.string(),
  add: z.strictObject({
    name: z.string(),
    type: propertyType,
    struct: z.string().optional(),
    required: z.boolean(),
    doc: z.string().optional(),
  }),
  before: z.string().optional(),
  after: z.string().optional(),
});

const propertyRemove = z.strictObject({ node: z.string(), remove: z.string() });

const nodeChange = z.strictObject({
  node: z.string(),
  set: z.strictObject({ name: z.string().optional(), required: z.boolean().optional(), doc: z.string().optional() }),
});

const geometryChange = z.strictObject({
  geometry: z.enum(['keyWidth', 'tableLog2', 'bitmapLog2', 'depth']),
  set: expression,
});

const encodingChange = z.strictObject({ encoding: z.enum(['orderBit', 'addressShift']), set: expression });

const bitmapChange = z.strictObject({ bitmap: z.literal('sizeBytes'), set: expression });

/** The kinds of change, told apart by their keys. */
export const changeSchemas = {
  'struct, field, set': fieldChange,
  'struct, add': fieldAdd,
  'struct, remove': fieldRemove,
  'struct, move': fieldMove,
  'constant, set': constantChange,
  'property, set': propertyChange,
  'node, add': propertyAdd,
  'node, remove': propertyRemove,
  'node, set': nodeChange,
  'geometry, set': geometryChange,
  'encoding, set': encodingChange,
  'bitmap, set': bitmapChange,
} as const;

/** The outside of a proposal; each change is checked by the schema that its keys choose. */
export const proposalSchema = z.strictObject({
  name: z.string().optional(),
  base: z.union([z.string(), z.number()]).transform(String),
  /** Old string to new string. */
  bump: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  changes: z.array(z.record(z.string(), z.unknown())).optional(),
});

export type ProposalFile = z.infer<typeof proposalSchema>;
export type FieldChange = z.infer<typeof fieldChange>;
export type FieldAdd = z.infer<typeof fieldAdd>;
export type FieldRemove = z.infer<typeof fieldRemove>;
export type FieldMove = z.infer<typeof fieldMove>;
export type ConstantChange = z.infer<typeof constantChange>;
export type PropertyChange = z.infer<typeof propertyChange>;
export type PropertyAdd = z.infer<typeof propertyAdd>;
export type PropertyRemove = z.infer<typeof propertyRemove>;
export type NodeChange = z.infer<typeof nodeChange>;
export type GeometryChange = z.infer<typeof geometryChange>;
export type EncodingChange = z.infer<typeof encodingChange>;
export type BitmapChange = z.infer<typeof bitmapChange>;

export type ProposedChange =
  | FieldChange
  | FieldAdd
  | FieldRemove
  | FieldMove
  | ConstantChange
  | PropertyChange
  | PropertyAdd
  | PropertyRemove
  | NodeChange
  | GeometryChange
  | EncodingChange
  | BitmapChange;
