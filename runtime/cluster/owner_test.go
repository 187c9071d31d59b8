package cluster

// ownersGolden is written once and then holds for ever.
const ownersGolden = "3222223"
