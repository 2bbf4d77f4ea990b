#!/usr/bin/env python3
"""Writes golden.json: what Python RDKit answers for each SMILES, one molecule a line.

    apt-get install python3-rdkit        # of the version that the package is linked with
    /usr/bin/python3 make_golden.py ESOL.csv ZINC.smi > golden.json

The molecules are every 15th of a .csv (its `smiles` column), every 40th of a .smi file and the list below. The OGB
vocabularies are those of ogb/utils/features.py (Hu et al. 2020, arXiv 2005.00687), the other encoding is that of
pretrain-gnns chem/loader.py (Hu et al. 2020, arXiv 1905.12265), whose list lacks the dummy atom: it is 118 here.
"""
import csv
import json
import sys

from rdkit import Chem, RDLogger, rdBase
from rdkit.Chem import AllChem, Fragments
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

TRICKY = r"""
C
[H][H]
[H]C([H])([H])[H]
[H]O[H]
[H]c1c([H])c([H])c([H])c([H])c1[H]
[2H]C([2H])([2H])O
[13CH4]
[Na+].[Cl-]
CC(=O)[O-].[NH4+].O
*
*CC*
[1*]c1ccccc1
[CH3]
[CH2]
[O]O
C[C@H](N)C(=O)O
C[C@@H](N)C(=O)O
C[S@](=O)c1ccccc1
F/C=C/F
F/C=C\F
FC=CF
C/C=C/C=C\C
CC=C=CC
C[N+](C)(C)C
[O-][N+](=O)c1ccccc1
[C-]#[O+]
N#N
O=C=O
OS(=O)(=O)O
FS(F)(F)(F)(F)F
FP(F)(F)(F)F
Cl[Pt](Cl)(N)N
N[Pt@SP1](N)(Cl)Cl
[NH3]->[Cu+2]
[Fe+2].[cH-]1cccc1.[cH-]1cccc1
[Xe]
[U]
[Og]
[Rh-]$[Rh-]
[B-](F)(F)(F)F
[Si](C)(C)(C)C
C[Hg]C
[Al+3].[Cl-].[Cl-].[Cl-]
[O-2].[Ca+2]
c1cc[nH]c1
c1ccc2ccccc2c1
c1ccc(cc1)-c1ccccc1
C1CC1.C1CC1
C12C3C4C1C5C2C3C45
C%12CCCCC%12
C1CCCCCCCCCCCCCCC1
O1CCOCCOCCOCCOCCOCC1
C1CC2(C1)CCC2
OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O
CC(C)C[C@H](NC(=O)[C@H](C)N)C(=O)N[C@@H](CO)C(=O)O
C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@@]34C)[C@@H]1CC[C@@H]2O
CN1C(=O)C=CC1=O
O=[N+]([O-])O
CSSC
c1ccsc1
C=[N+]=[N-]
CN=C=S
OB(O)c1ccccc1
C1=CC=CC=CC=C1
C[C@H](C)O
C[C@@](C)(C)F
C/C(C)=C/C
C[C@H]1CC[C@@H](C)CC1
O[C@H]1C[C@@H](O)C1
""".split()

ELEMENTS = list(range(1, 119))
OGB_ATOM = {
    "z": ELEMENTS + ["misc"],
    "chirality": ["CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER", "misc"],
    "degree": list(range(11)) + ["misc"],
    "charge": list(range(-5, 6)) + ["misc"],
    "hydrogens": list(range(9)) + ["misc"],
    "radicals": list(range(5)) + ["misc"],
    "hybridization": ["SP", "SP2", "SP3", "SP3D", "SP3D2", "misc"],
}
OGB_BOND_TYPE = ["SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", "misc"]
OGB_STEREO = ["STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY"]
HU_CHIRALITY = OGB_ATOM["chirality"][:4]
HU_DIRECTION = ["NONE", "ENDUPRIGHT", "ENDDOWNRIGHT"]


def index(vocabulary, value):
    return vocabulary.index(value) if value in vocabulary else len(vocabulary) - 1


def atom_hu(a):
    z = a.GetAtomicNum()
    return [ELEMENTS.index(z) if z in ELEMENTS else 118, index(HU_CHIRALITY, str(a.GetChiralTag()))]


def atom_ogb(a):
    value = {
        "z": a.GetAtomicNum(), "chirality": str(a.GetChiralTag()), "degree": a.GetTotalDegree(), "charge": a.GetFormalCharge(),
        "hydrogens": a.GetTotalNumHs(), "radicals": a.GetNumRadicalElectrons(), "hybridization": str(a.GetHybridization()),
    }
    return [index(OGB_ATOM[k], value[k]) for k in OGB_ATOM] + [int(a.GetIsAromatic()), int(a.IsInRing())]


def bond_hu(b):
    kind = str(b.GetBondType())
    direction = str(b.GetBondDir())
    return [OGB_BOND_TYPE.index(kind) if kind in OGB_BOND_TYPE[:4] else 0, HU_DIRECTION.index(direction) if direction in HU_DIRECTION else 0]


def bond_ogb(b):
    return [index(OGB_BOND_TYPE, str(b.GetBondType())), OGB_STEREO.index(str(b.GetStereo())), int(b.GetIsConjugated())]


def golden(smiles):
    m = Chem.MolFromSmiles(smiles)
    atoms = list(m.GetAtoms())
    neighbours = [[(b.GetOtherAtomIdx(a.GetIdx()), b) for b in a.GetBonds()] for a in atoms]
    edges = [e for row in neighbours for e in row]
    return {
        "smiles": smiles,
        "degree": [len(row) for row in neighbours],
        "nbr": [to for to, _ in edges],
        "hu_atom": sum((atom_hu(a) for a in atoms), []),
        "hu_bond": sum((bond_hu(b) for _, b in edges), []),
        "ogb_atom": sum((atom_ogb(a) for a in atoms), []),
        "ogb_bond": sum((bond_ogb(b) for _, b in edges), []),
        "canonical": Chem.MolToSmiles(m),
        "scaffold": MurckoScaffoldSmiles(mol=Chem.MolFromSmiles(smiles), includeChirality=True),
        "morgan": list(AllChem.GetMorganFingerprintAsBitVect(m, 2, 2048).GetOnBits()),
        "motif": [name for name, count in Fragments.fns if count(m) > 0],
    }


def read(path):
    with open(path, newline="") as f:
        if path.endswith(".csv"):
            return [row["smiles"].strip() for row in csv.DictReader(f)][::15]
        return [line.split()[0] for line in f if line.strip()][::40]


def main():
    RDLogger.DisableLog("rdApp.*")
    molecules = TRICKY + [s for path in sys.argv[1:] for s in read(path)]
    lines = [json.dumps(golden(s), separators=(",", ":")) for s in molecules]
    print('{"rdkit":"%s","molecules":[\n%s\n]}' % (rdBase.rdkitVersion, ",\n".join(lines)))


if __name__ == "__main__":
    main()
