package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/urfave/cli/v2"

	"tapweight/train/engine"
)

// configFlags makes a flag of every field of the configuration, so that the file and the command line cannot drift apart.
func configFlags() []cli.Flag {
	d := engine.Default()
	v := reflect.ValueOf(d)
	flags := []cli.Flag{&cli.StringFlag{Name: "config", Usage: "YAML file of settings; flags override it", TakesFile: true}}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, usage, group := f.Tag.Get("yaml"), f.Tag.Get("usage"), f.Tag.Get("group")
		switch x := v.Field(i).Interface().(type) {
		case string:
			flags = append(flags, &cli.StringFlag{Name: name, Usage: usage, Category: group, DefaultText: x})
		case int:
			flags = append(flags, &cli.IntFlag{Name: name, Usage: usage, Category: group, DefaultText: fmt.Sprint(x)})
		case uint64:
			flags = append(flags, &cli.Uint64Flag{Name: name, Usage: usage, Category: group, DefaultText: fmt.Sprint(x)})
		case float64:
			flags = append(flags, &cli.Float64Flag{Name: name, Usage: usage, Category: group, DefaultText: fmt.Sprint(x)})
		case bool:
			flags = append(flags, &cli.BoolFlag{Name: name, Usage: usage, Category: group, DefaultText: fmt.Sprint(x)})
		case []string:
			flags = append(flags, &cli.StringFlag{Name: name, Usage: usage + " (comma-separated)", Category: group, DefaultText: strings.Join(x, ",")})
		}
	}
	return flags
}

// configFrom reads --config over the defaults and the flags given over both.
func configFrom(c *cli.Context) (engine.Config, error) {
	if c.NArg() > 0 {
		return engine.Config{}, fmt.Errorf("unexpected argument %q: settings are flags, see '%s --help'", c.Args().First(), c.Command.HelpName)
	}
	cfg := engine.Default()
	if path := c.String("config"); path != "" {
		var err error
		if cfg, err = engine.ReadConfig(path); err != nil {
			return cfg, err
		}
	}
	v := reflect.ValueOf(&cfg).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if !c.IsSet(name) {
			continue
		}
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString(c.String(name))
		case int:
			f.SetInt(int64(c.Int(name)))
		case uint64:
			f.SetUint(c.Uint64(name))
		case float64:
			f.SetFloat(c.Float64(name))
		case bool:
			f.SetBool(c.Bool(name))
		case []string:
			var list []string
			for _, s := range strings.Split(c.String(name), ",") {
				if s = strings.TrimSpace(s); s != "" {
					list = append(list, s)
				}
			}
			f.Set(reflect.ValueOf(list))
		}
	}
	check := cfg
	return cfg, engine.Locate(c.String("config"), check.Resolve(), c.IsSet)
}
