package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// Both scripts ask the command itself, by urfave/cli's hidden --generate-bash-completion. After a flag comes its value: files.
var completions = map[string]string{
	"bash": `_tapweight() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  [[ ${words[-1]} == -* ]] && return
  [[ $cur == -* ]] && words+=("$cur")
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _tapweight tapweight
`,
	"zsh": `#compdef tapweight
_tapweight() {
  local cur=${words[CURRENT]} ask=("${(@)words[1,CURRENT-1]}") opts
  [[ ${ask[-1]} == -* ]] && { _files; return }
  [[ $cur == -* ]] && ask+=("$cur")
  opts=("${(@f)$("${ask[@]}" --generate-bash-completion 2>/dev/null)}")
  [[ -n ${opts[1]} ]] && _describe values opts || _files
}
compdef _tapweight tapweight
`,
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell, bash or zsh",
		ArgsUsage: "SHELL",
		Description: `For this shell, or in its start-up file:

Example: source <(tapweight completion bash)`,
		Action: func(c *cli.Context) error {
			shell, err := oneArgument(c, "bash or zsh")
			if err != nil {
				return err
			}
			script, ok := completions[shell]
			if !ok {
				return fmt.Errorf("no completion for %q, only for bash and zsh", shell)
			}
			fmt.Print(script)
			return nil
		},
	}
}
