package text_test

import (
	"fmt"
	"log"
	"slices"
	"strings"

	"tapweight/model/text"
)

func Example() {
	texts := strings.Split(strings.Repeat("the people of the states|the union of states|", 20), "|")
	t, err := text.TrainWordPiece(slices.Values(texts), text.Training{Size: 60, MinFrequency: 2})
	if err != nil {
		log.Fatal(err)
	}
	a, b := t.Append(nil, "The people"), t.Append(nil, "of the UNION!")
	ids, types := t.Wrap(nil, nil, a, b, 16)
	for i, id := range ids {
		fmt.Print(" ", t.Text(id), "/", types[i])
	}
	fmt.Println()
	for _, token := range t.Encode("the  people") {
		fmt.Printf("%s %d-%d\n", t.Text(token.ID), token.Start, token.End)
	}
	// Output:
	// [CLS]/0 the/0 people/0 [SEP]/0 of/1 the/1 union/1 [UNK]/1 [SEP]/1
	// the 0-3
	// people 5-11
}
