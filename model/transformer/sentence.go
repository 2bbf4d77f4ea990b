package transformer

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// SaveSentence writes the small files that make a folder of [Save] and of a tokenizer a model of sentence-transformers: a sentence
// of up to longest tokens is the mean of its tokens' rows.
func SaveSentence(dir string, cfg Config, longest int) error {
	const pooling = "1_Pooling"
	type module struct {
		Index int    `json:"idx"`
		Name  string `json:"name"`
		Path  string `json:"path"`
		Type  string `json:"type"`
	}
	if err := os.MkdirAll(filepath.Join(dir, pooling), 0o755); err != nil {
		return err
	}
	for name, v := range map[string]any{
		"modules.json":              []module{{0, "0", "", "sentence_transformers.models.Transformer"}, {1, "1", pooling, "sentence_transformers.models.Pooling"}},
		"sentence_bert_config.json": map[string]any{"max_seq_length": longest, "do_lower_case": false},
		pooling + "/config.json": map[string]any{"word_embedding_dimension": cfg.Width, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false,
			"pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false},
	} {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, name), append(text, '\n')); err != nil {
			return err
		}
	}
	return nil
}
