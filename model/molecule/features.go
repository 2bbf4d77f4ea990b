package molecule

import "fmt"

// Features describes a set of integer features: the number of values of each atom and bond field. Values are rows of
// embedding tables; the tables of an atom's (or bond's) fields are concatenated.
type Features struct {
	Name       string
	AtomFields []int
	BondFields []int
	maskAtom   []uint8 // what a masked atom shows
	selfLoop   uint8   // value of the first bond field in a self loop, the others 0
	maskBond   uint8   // value of the first bond field of a masked bond
}

// The feature sets. "hu" (Hu et al. 2020, arXiv 1905.12265): atomic number less 1 (118 a dummy atom, 119 the mask) and
// chirality; bond type (single, double, triple, aromatic, 4 self loop, 5 mask) and direction. "ogb" (Hu et al. 2020, arXiv
// 2005.00687): nine atom and three bond fields, with a mask value added to the first atom field and self loop and mask to
// the first bond field.
var featureSets = []Features{
	{Name: "hu", AtomFields: []int{120, 4}, BondFields: []int{6, 3}, maskAtom: []uint8{119, 0}, selfLoop: 4, maskBond: 5},
	{Name: "ogb", AtomFields: []int{120, 5, 12, 12, 10, 6, 6, 2, 2}, BondFields: []int{7, 6, 2},
		maskAtom: []uint8{119, 0, 0, 5, 0, 0, 0, 0, 0}, selfLoop: 5, maskBond: 6},
}

// FeaturesByName returns a feature set.
func FeaturesByName(name string) (Features, error) {
	for _, f := range featureSets {
		if f.Name == name {
			return f, nil
		}
	}
	return Features{}, fmt.Errorf("features %q is not one of hu, ogb", name)
}

func sum(v []int) int {
	n := 0
	for _, x := range v {
		n += x
	}
	return n
}

// AtomVocab returns the rows of the concatenated atom table.
func (f Features) AtomVocab() int { return sum(f.AtomFields) }

// BondVocab returns the rows of the concatenated bond table.
func (f Features) BondVocab() int { return sum(f.BondFields) }

// BondCodes returns the number of bond codes: one for each combination of field values.
func (f Features) BondCodes() int {
	n := 1
	for _, x := range f.BondFields {
		n *= x
	}
	return n
}

// AtomRows turns an atom's field values into rows of the concatenated table.
func (f Features) AtomRows(dst []int32, atom []uint8) {
	offset := 0
	for i, n := range f.AtomFields {
		dst[i] = int32(offset + int(atom[i]))
		offset += n
	}
}

// BondRows turns a bond code into rows of the concatenated table.
func (f Features) BondRows(dst []int32, code int) {
	offset := f.BondVocab()
	for i := len(f.BondFields) - 1; i >= 0; i-- {
		n := f.BondFields[i]
		offset -= n
		dst[i] = int32(offset + code%n)
		code /= n
	}
}

// BondCode packs a bond's field values into its code.
func (f Features) BondCode(bond []uint8) uint8 {
	code := 0
	for i, n := range f.BondFields {
		code = code*n + int(bond[i])
	}
	return uint8(code)
}

func (f Features) firstField(value uint8) uint8 {
	bond := make([]uint8, len(f.BondFields))
	bond[0] = value
	return f.BondCode(bond)
}

// SelfLoopCode returns the bond code of self loops.
func (f Features) SelfLoopCode() uint8 { return f.firstField(f.selfLoop) }

// MaskBondCode returns the bond code of masked bonds.
func (f Features) MaskBondCode() uint8 { return f.firstField(f.maskBond) }

// MaskAtom overwrites an atom's features by the mask's.
func (f Features) MaskAtom(atom []uint8) { copy(atom, f.maskAtom) }
